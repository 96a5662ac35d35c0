//go:build !linux

package testenv

import "syscall"

// dieWithParent has no equivalent here: a killed run may leave a server behind.
func dieWithParent() *syscall.SysProcAttr { return nil }
