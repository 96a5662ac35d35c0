package embedded

import "syscall"

// dieWithParent ends the child when this process is killed: nobody else knows its
// socket. SIGTERM lets it write its file to the end. Its own process group keeps a
// Ctrl-C at the terminal from ending it before Headgate has finished with it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM, Setpgid: true}
}
