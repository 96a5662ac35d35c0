//go:build !linux

package embedded

import "syscall"

// dieWithParent keeps a Ctrl-C at the terminal from ending the child before Headgate
// has finished with it. Only Linux can also end it when this process is killed.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
