//go:build !linux

package world

import "syscall"

// apart keeps a child out of the terminal's reach, so that Ctrl-C is the harness's to
// handle.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
