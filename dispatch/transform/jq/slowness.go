//go:build !race

package jq

const slowness = 1
