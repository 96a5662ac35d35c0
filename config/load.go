package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"headgate/config/yamlsrc"
)

// Load reads and checks the operator's file. All that is wrong is in report. The result
// is never nil: where there are problems it holds what could be read, so that the route
// files can be checked in the same go; it must not be run then.
func Load(path string, report *yamlsrc.Report) *Config {
	return LoadWith(path, yamlsrc.Environment, report)
}

// LoadWith is Load with an environment of the caller's. An error of env that has a method
// Hint() string says what to do about it.
func LoadWith(path string, env func(name string) (string, error), report *yamlsrc.Report) *Config {
	text, err := report.ReadFile(path)
	if err != nil {
		report.Addf(yamlsrc.Pos{File: path, Line: 1, Column: 1}, "", "name the file with --config", "read the operator's file: %s", cause(err))
	}
	return load(path, text, err == nil, env, report)
}

func load(path string, text []byte, readable bool, env func(string) (string, error), report *yamlsrc.Report) *Config {
	c := Default()
	c.File = path
	c.Dir = filepath.Dir(path)
	if abs, err := filepath.Abs(c.Dir); err == nil {
		c.Dir = abs
	}
	if !readable {
		return c
	}
	before := report.Len()
	root := yamlsrc.Parse(path, text, report)
	if report.Len() > before && root.Kind == yamlsrc.Null {
		return c // it could not be parsed: whatever else is found would be noise
	}
	// The file and the environment have the same owner: every variable may be used.
	root.Expand(env, report)
	root.Decode(c, report)
	if auth := root.Get("tracking").Get("auth"); auth != nil {
		c.Tracking.AuthPos = auth.Pos
	}
	if token := root.Get("admin").Get("token"); token != nil {
		c.Admin.TokenPos = token.Pos
	}
	if tls := root.Get("redis").Get("tls"); tls != nil {
		for key, pos := range map[string]*yamlsrc.Pos{"ca": &c.Redis.TLS.CAPos, "cert": &c.Redis.TLS.CertPos} {
			if n := tls.Get(key); n != nil {
				*pos = n.Pos
			}
		}
	}
	if limits := c.Callbacks.RateLimit; limits != nil && limits.Kind == yamlsrc.Null {
		c.Callbacks.RateLimit = nil
	}
	if limits := c.Tracking.RateLimit; limits != nil && limits.Kind == yamlsrc.Null {
		c.Tracking.RateLimit = nil
	}
	checker{root, report}.check(c)
	c.resolve(root, report)
	return c
}

// cause is what went wrong without the path, which the position tells.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// resolve makes paths absolute and finds the route files.
func (c *Config) resolve(root *yamlsrc.Node, report *yamlsrc.Report) {
	if c.Redis.DataDir == "" {
		c.Redis.DataDir = filepath.Join(c.DataDir, "redis")
	}
	for _, p := range []*string{&c.DataDir, &c.Redis.DataDir, &c.Redis.TLS.CA, &c.Redis.TLS.Cert, &c.Redis.TLS.Key} {
		*p = c.abs(*p)
	}
	for i, p := range c.RoutesMayRead.Files {
		c.RoutesMayRead.Files[i] = c.abs(p)
	}
	listed := root.Get("routes")
	for i, glob := range c.Routes {
		at := root
		if listed != nil && i < len(listed.Items) {
			at = listed.Items[i]
		}
		files, err := c.glob(glob)
		switch {
		case err != nil:
			report.Addf(at.Pos, at.Path, "write a path such as routes/*.yaml", "%q is not a pattern for files: %s", glob, err)
		case len(files) == 0:
			report.Addf(at.Pos, at.Path, "write routes: [globs], relative to the folder of this file", "no route file matches %q", glob)
		}
	}
	c.RouteFiles = c.FindRouteFiles()
}

// FindRouteFiles gives the files that Routes stands for now: sorted, each once.
func (c *Config) FindRouteFiles() []string {
	var out []string
	for _, pattern := range c.Routes {
		files, err := c.glob(pattern)
		if err == nil { // told by Load
			out = append(out, files...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *Config) abs(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.Dir, path)
}

func (c *Config) glob(pattern string) ([]string, error) {
	if strings.Contains(pattern, "**") {
		return nil, errors.New("** is not supported; list the folders")
	}
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(c.File), pattern)
	}
	found, err := filepath.Glob(pattern)
	if err != nil {
		return nil, fmt.Errorf("read pattern: %w", err)
	}
	return slices.DeleteFunc(found, func(path string) bool {
		if isTest(path) && path != pattern {
			return true
		}
		if ext := filepath.Ext(path); ext == ".yaml" || ext == ".yml" {
			return false // also a folder, such as stands where a file was to be mounted: it cannot be read
		}
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	}), nil
}

// isTest reports whether a file is named as the tests of routes are, which lie beside
// them: a pattern for route files does not mean those, unless it is their whole name.
func isTest(path string) bool {
	return strings.HasSuffix(strings.TrimSuffix(path, filepath.Ext(path)), "_test")
}
