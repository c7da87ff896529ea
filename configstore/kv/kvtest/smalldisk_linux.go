package kvtest

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// smallDisk says, in a process that OnSmallDisk has started, in which way the disk is small there.
const (
	smallDisk   = "KVTEST_SMALL_DISK"
	inNamespace = "namespace" // where everybody may mount
	byLimit     = "limit"     // of the size of files, which everybody may lower
)

// OnSmallDisk runs a test in a directory in which there is room for some bytes, until it grows. Where nothing may be mounted, the test runs in a process of its own, in which something may be or, where even that is forbidden, files cannot
// get larger: the kernel then says EFBIG instead of ENOSPC.
func OnSmallDisk(t *testing.T, size int, test func(t *testing.T, directory string, grow func(size int))) {
	t.Helper()
	directory := t.TempDir()
	way := os.Getenv(smallDisk)
	if way == byLimit {
		limitFiles(t, size)
		test(t, directory, func(size int) { limitFiles(t, size) })
		return
	}
	err := mountSmall(directory, size, 0)
	switch {
	case err == nil:
		t.Cleanup(func() { syscall.Unmount(directory, syscall.MNT_DETACH) })
		test(t, directory, func(size int) {
			if err := mountSmall(directory, size, syscall.MS_REMOUNT); err != nil {
				t.Fatal(err)
			}
		})
	case way == inNamespace:
		t.Skip(err) // which our parent reads
	case !again(t, inNamespace) && !again(t, byLimit):
		t.Fatal("there is no way to a small disk")
	}
}

func mountSmall(directory string, size int, flags uintptr) error {
	return syscall.Mount("tmpfs", directory, "tmpfs", flags, fmt.Sprintf("size=%d", size))
}

func limitFiles(t *testing.T, size int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = uint64(size)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
}

// again runs the test in a process of its own. False: that way is closed here.
func again(t *testing.T, way string) bool {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	command.Env = append(os.Environ(), smallDisk+"="+way)
	if way == inNamespace {
		command.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
		}
	}
	output, err := command.CombinedOutput()
	if ran := strings.Contains(string(output), "--- PASS: "+t.Name()); err == nil && ran {
		t.Logf("in a process of its own (%s)", way)
		return true
	}
	if strings.Contains(string(output), "--- FAIL") {
		t.Fatalf("in a process of its own (%s):\n%s", way, output)
	}
	t.Logf("not possible here: %s: %v", way, err)
	return false
}
