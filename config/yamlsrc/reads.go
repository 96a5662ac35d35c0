package yamlsrc

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
)

// Read is a file that a load has read, or tried to: what became of the load depends on it.
type Read struct {
	Path string
	Sum  string // SHA-256 in hexadecimal; empty when the file could not be read
}

// ReadFile is os.ReadFile for a file that the load depends on.
func (r *Report) ReadFile(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the files that the operator and the authors of routes name
	r.Note(path, text, err)
	return text, err
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
