package rig

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Programs that can be built from this module and from those that it depends on.
const (
	SidecarPackage    = "./cmd/mcp-sidecar"
	EverythingPackage = "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"
	MCPGoPackage      = "github.com/mark3labs/mcp-go/examples/conformance"
)

// Root is the repository, found upwards from the working directory.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("there is no go.mod from here upwards: run this inside the repository")
		}
		dir = up
	}
}

// Build builds a program into a directory, as it is built for users, and returns the file.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	return build(ctx, dir, pkg, []string{"CGO_ENABLED=0"})
}

// BuildWithRaceDetector builds one that says so on stderr when two goroutines use the same memory, and then ends with 66.
func BuildWithRaceDetector(ctx context.Context, dir, pkg string) (string, error) {
	return build(ctx, dir, pkg, []string{"CGO_ENABLED=1"}, "-race")
}

func build(ctx context.Context, dir, pkg string, env []string, flags ...string) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	if err := touchSources(root); err != nil {
		return "", err
	}
	file := filepath.Join(dir, filepath.Base(pkg)+strings.Join(flags, ""))
	args := append([]string{"build", "-buildvcs=false", "-o", file}, flags...)
	code, stdout, stderr, err := Run(ctx, Command{Path: "go", Args: append(args, pkg), Dir: root, Env: append(os.Environ(), env...)})
	if err != nil {
		return "", err
	}
	if code != 0 {
		return "", fmt.Errorf("building %s:\n%s%s", pkg, stdout, stderr)
	}
	return file, nil
}

// touchSources opens every source file. The go command notes which files a test opens, and runs the test again when one of them has changed; of a program that the test
// builds it knows nothing, and would answer from its cache after an edit.
func touchSources(root string) error {
	return filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch name := entry.Name(); {
		case err != nil:
			return err
		case entry.IsDir() && (name == "node_modules" || name != "." && strings.HasPrefix(name, ".") && file != root):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := os.Open(file)
		if err != nil {
			return err
		}
		return source.Close()
	})
}
