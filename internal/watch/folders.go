package watch

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks bounds how many links a path is followed through, as systems do.
const maxLinks = 40

// folders gives the folders in which a change can change what stands at a path: the one that
// it is in, the path itself if it is a folder, and those of all links on the way to it. Of
// what is missing it gives the last folder that exists, in which it would appear. A ConfigMap
// is replaced by moving a link that stands beside the files.
func folders(path string) []string {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var out []string
	at, rest, links := string(filepath.Separator), parts(path), 0
	for len(rest) > 0 {
		next := filepath.Join(at, rest[0])
		info, err := os.Lstat(next)
		if err != nil {
			return append(out, at)
		}
		if info.Mode()&os.ModeSymlink == 0 {
			if len(rest) == 1 {
				if out = append(out, at); info.IsDir() {
					out = append(out, next)
				}
				return out
			}
			at, rest = next, rest[1:]
			continue
		}
		out = append(out, at)
		to, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return out
		}
		if filepath.IsAbs(to) {
			at = string(filepath.Separator)
		}
		rest = append(parts(to), rest[1:]...)
	}
	return append(out, at)
}

func parts(path string) []string {
	return strings.FieldsFunc(filepath.ToSlash(path), func(r rune) bool { return r == '/' })
}
