//go:build race

package jq

// slowness is by how much the race detector slows an evaluation down.
const slowness = 10
