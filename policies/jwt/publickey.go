package jwt

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
)

func digest(text []byte) [32]byte { return sha256.Sum256(text) }

// publicKey checks the PEM file as far as it can be seen from here. A file with an
// absolute path may exist only where the gateway runs, so that its absence is no
// problem of the file at hand.
func (c *checker) publicKey() source {
	path := c.cfg.PublicKey
	if path == "" {
		c.problem("public_key", "write the path of a PEM file", "the path is empty")
		return nil
	}
	switch {
	case filepath.IsLocal(path):
		path = filepath.Join(c.Dir, path)
	case !filepath.IsAbs(path):
		path = filepath.Join(c.Dir, path)
		fallthrough
	default:
		// Below its own folder a route file may name anything; elsewhere it could be
		// used to find out which files there are.
		if !c.Access.AllowsFile(path) {
			c.problem("public_key", "put it beside this file, or add its folder to routes_may_read.files in headgate.yaml",
				"routes may not read the file %s", c.cfg.PublicKey)
			return nil
		}
	}
	load := pemLoader(path)
	set, err := load()
	switch {
	case errors.Is(err, fs.ErrNotExist) && filepath.IsAbs(c.cfg.PublicKey):
	case err != nil:
		c.problem("public_key", "write the path of a PEM file with a PUBLIC KEY", "%s", err)
	default:
		for i, algorithm := range c.cfg.Algorithms {
			if f := families[algorithm]; f != "" && f != familyHMAC && !fits(set.single, algorithm) {
				at := c.Node.Get("algorithms").Items[i]
				c.Report.Addf(at.Pos, at.Path, "use an algorithm of the key: RS256 for RSA, ES256 for P-256, EdDSA for Ed25519",
					"%s does not fit the key in %s", algorithm, c.cfg.PublicKey)
			}
		}
	}
	return newStatic(load)
}
