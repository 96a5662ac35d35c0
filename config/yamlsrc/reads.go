package yamlsrc

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// MaxFile bounds a file that is read: a larger one is none of ours.
const MaxFile = 64 << 20

// Read is a file that a load has read, or tried to: what became of the load depends on it.
type Read struct {
	Path string
	Sum  string // SHA-256 in hexadecimal; empty when the file could not be read
}

// ReadFile reads a file that the load depends on.
func (r *Report) ReadFile(path string) ([]byte, error) {
	text, err := ReadRegular(path)
	r.Note(path, text, err)
	return text, err
}

// ReadRegular is os.ReadFile for files that have an end. A pipe that nobody writes to would
// hold up the load, and with it every later one, until the process ends; a device might
// never be read to its end.
func ReadRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.IsDir(): // os.ReadFile has the words for it
	case !info.Mode().IsRegular():
		return nil, &fs.PathError{Op: "read", Path: path, Err: errors.New("it is a pipe, a socket or a device, not a file")}
	case info.Size() > MaxFile:
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it has more than %d bytes", MaxFile)}
	}
	return os.ReadFile(path) //nolint:gosec // the files that the operator and the authors of routes name
}

// Note tells the report what reading a file gave, where it was not read by ReadFile.
func (r *Report) Note(path string, text []byte, err error) {
	read := Read{Path: path}
	if err == nil {
		sum := sha256.Sum256(text)
		read.Sum = hex.EncodeToString(sum[:])
	}
	r.reads = append(r.reads, read)
}

// Reads lists what was read, in its order; a file that was read twice is in it twice.
func (r *Report) Reads() []Read { return r.reads[:len(r.reads):len(r.reads)] }
