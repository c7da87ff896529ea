//go:build !linux

package rig

import "syscall"

// dieWithParent can be asked of Linux only.
func dieWithParent() *syscall.SysProcAttr { return nil }
