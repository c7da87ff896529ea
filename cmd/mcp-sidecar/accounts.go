package main

import (
	"net/http"

	"mcpsidecar/discovery"
	"mcpsidecar/internal/credential"
)

// newAccounts builds what brings users' accounts to servers. It needs to know where browsers reach us, so that the listener is open by now.
func (run *program) newAccounts(client *http.Client) error {
	found, err := discovery.New(discovery.Config{HTTP: client, Logger: run.log("discovery"), UserAgent: "mcp-sidecar/" + readBuild().Version})
	if err != nil {
		return err
	}
	run.stops.add(func() error { found.Close(); return nil })
	run.accounts, err = credential.New(credential.Config{
		Store: run.store, Discovery: found, HTTP: client, PublicURL: run.base(), DocumentURL: run.documentURL(),
		Refreshed: run.countRefresh, Changed: func(serverID, user string) { run.proxy.GrantChanged(serverID, user) }, Logger: run.log("accounts"),
		TokenRate: run.o.tokenRate,
	})
	if err != nil {
		return err
	}
	run.stops.add(func() error { return run.accounts.CloseWithin(run.left) })
	return nil
}

// countRefresh counts a refresh under the server's slug. Of a server that is gone nothing is counted.
func (run *program) countRefresh(serverID string, result credential.Result) {
	if slug, ok := run.config.slug(serverID); ok {
		run.meter.Server(slug).Refreshed(string(result))
	}
}

// documentURL is where providers find our Client ID Metadata Document. They insist on https.
func (run *program) documentURL() string {
	switch {
	case run.o.documentURL != "":
		return run.o.documentURL
	case run.o.publicURL != nil && run.o.publicURL.Scheme == "https":
		return run.o.publicURL.String() + "/oauth/client.json"
	}
	return ""
}
