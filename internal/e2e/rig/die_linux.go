package rig

import "syscall"

// dieWithParent has the system end a process whose starter has vanished, which a test that panics does.
func dieWithParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
