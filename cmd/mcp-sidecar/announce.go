package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
)

// announce says where everything is: to the log, and then for people and scripts, in lines of "name: value" that come all at once. They go to stdout, unless the audit log is
// there.
func (run *program) announce() {
	endpoint, metrics := run.endpoint(), "http://"+reachable(run.metricsListener.Addr().String())+"/metrics"
	if !isLoopbackAddress(run.listener.Addr()) {
		run.logger.Warn("--listen is not on loopback and speaks plain HTTP: put something in front that speaks TLS, or tokens can be read on the way", "listen", run.listener.Addr().String())
	}
	run.logger.Info("serving", "endpoint", endpoint, "metrics", metrics, "listen", run.listener.Addr().String(), "version", readBuild().Version)
	text := fmt.Sprintf("endpoint: %s\nmetrics: %s\n", endpoint, metrics)
	if run.o.publicURL != nil {
		text += fmt.Sprintf("listen: %s\n", run.listener.Addr())
	}
	token, ok := run.localAdminToken()
	switch {
	case run.o.demo:
		text += demoText(endpoint, run.tokenToPaste(token, ok))
	case ok:
		text += fmt.Sprintf("admin token: in %s\n", run.o.tokenFile())
	}
	out := run.p.Stdout
	if run.o.auditLog == "-" {
		out = run.p.Stderr
	}
	_, _ = io.WriteString(out, text)
}

// endpoint is where agents connect.
func (run *program) endpoint() string { return run.base() + "/mcp" }

// base is where others reach us: as an operator says, or where we listen.
func (run *program) base() string {
	if run.o.publicURL != nil {
		return run.o.publicURL.String()
	}
	return "http://" + reachable(run.listener.Addr().String())
}

func isLoopbackAddress(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// tokenToPaste is the token that a demo shows. One from the environment is not repeated: terminals are logged.
func (run *program) tokenToPaste(local string, ok bool) string {
	switch {
	case ok:
		return local
	case run.o.adminToken != "":
		return "${" + envAdminToken + "}"
	}
	return "${" + envToken + "}"
}

// demoText is what a newcomer needs.
func demoText(endpoint, token string) string {
	type entry struct {
		Type    string            `json:"type"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	}
	block, _ := json.MarshalIndent(map[string]map[string]entry{"mcpServers": {"sidecar": {
		Type: "http", URL: endpoint, Headers: map[string]string{"Authorization": "Bearer " + token},
	}}}, "", "  ") // of texts only: cannot fail
	return fmt.Sprintf("admin token: %s\n\nPaste this into an MCP client:\n\n%s\n\nCtrl-C ends the sidecar.\n", token, block)
}
