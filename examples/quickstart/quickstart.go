// Package quickstart carries the example that `headgate demo` runs: real files, read
// the way any other configuration is. It contains no code besides.
package quickstart

import "embed"

// Files are the example's files.
//
//go:embed headgate.yaml env.sh profile.json routes
var Files embed.FS
