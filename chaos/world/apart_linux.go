package world

import "syscall"

// apart keeps a child out of the terminal's reach, so that Ctrl-C is the harness's to
// handle, and ends it with the harness whatever becomes of that.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
