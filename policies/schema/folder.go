package schema

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"headgate/config/yamlsrc"
)

// root stands for the folder in the URLs of schemas: what is above it has no URL.
const root = "file:///"

// maxFile bounds one schema file.
const maxFile = 4 << 20

// folder loads schemas from one folder and nowhere else. It implements
// jsonschema.URLLoader.
type folder struct {
	dir    string
	report *yamlsrc.Report
	nodes  map[string]*yamlsrc.Node // by URL, for positions
}

// Load implements jsonschema.URLLoader.
func (f *folder) Load(address string) (any, error) {
	name, ok := strings.CutPrefix(address, root)
	if !ok {
		return nil, errors.New("schemas are read from files only, never from the network")
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return nil, fmt.Errorf("read the reference: %w", err)
	}
	text, err := f.read(name)
	if err != nil {
		return nil, err
	}
	shown := filepath.Join(f.dir, filepath.FromSlash(name))
	if path.Ext(name) != ".json" {
		before := f.report.Len()
		node := yamlsrc.Parse(shown, text, f.report)
		if f.report.Len() > before {
			return nil, errors.New("the file is not valid YAML")
		}
		f.nodes[address] = node
		return node.Value(), nil
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read it as JSON: %w", err)
	}
	// JSON is read as JSON; as YAML it is read only to know lines and columns. What goes
	// wrong then (a tab, an odd escape) is nobody's mistake: the real report sees only
	// what a first reading has found to be sound.
	var trial yamlsrc.Report
	if yamlsrc.Parse(shown, text, &trial); trial.Len() == 0 {
		f.nodes[address] = yamlsrc.Parse(shown, text, f.report)
	}
	return document, nil
}

// read opens a file below the folder. Links that lead out of it are not followed.
func (f *folder) read(name string) (text []byte, err error) {
	defer func() { f.report.Note(filepath.Join(f.dir, filepath.FromSlash(name)), text, err) }()
	dir, err := os.OpenRoot(f.dir)
	if err != nil {
		return nil, fmt.Errorf("open the folder: %w", err)
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat(filepath.FromSlash(name))
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("it is not a file of at most %d bytes", maxFile)
	}
	return dir.ReadFile(filepath.FromSlash(name))
}

// within gives the slash path of a file below the folder.
func within(name string) (string, error) {
	if strings.Contains(name, "://") {
		return "", errors.New("schemas are read from files only, never from the network")
	}
	if !filepath.IsLocal(name) {
		return "", errors.New("it must lie below the folder of this file")
	}
	return path.Clean(filepath.ToSlash(name)), nil
}

// step goes from a node to one of its parts.
func step(n *yamlsrc.Node, token string) *yamlsrc.Node {
	if n.Kind == yamlsrc.Seq {
		if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(n.Items) {
			return n.Items[i]
		}
		return nil
	}
	return n.Get(token)
}

// unescape reads one token of a JSON pointer in a URL fragment.
func unescape(token string) string {
	if plain, err := url.PathUnescape(token); err == nil {
		token = plain
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
}

// clean takes our stand-in for the folder out of a message.
func clean(message string) string {
	first, _, _ := strings.Cut(message, "\n")
	return strings.ReplaceAll(first, root, "")
}
