package testenv

import "syscall"

// dieWithParent lets the kernel kill the child when the test binary ends in whatever
// way, so that a killed or timed-out run leaves no server behind.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
