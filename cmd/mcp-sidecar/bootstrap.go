package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
)

// Names that a first start writes into the store.
const (
	firstTokenName = "initial"
	ourselves      = "mcp-sidecar" // who made what no caller made
)

// firstToken makes sure that somebody can administer: with no admin token in the environment and none in the store, it makes one. Its text is in a file before its hash
// is in the store, so that a crash in between leaves a file that opens nothing, and never a token that nobody has.
func (run *program) firstToken(ctx context.Context) error {
	tokens, err := run.store.Tokens(ctx)
	if err != nil {
		return err
	}
	run.callers.Reload(tokens)
	isAdmin := func(t configstore.APIToken) bool { return t.Role == string(caller.Admin) }
	if run.o.adminToken != "" || slices.ContainsFunc(tokens, isAdmin) {
		return nil
	}
	minted := caller.Mint()
	if err := run.record(audit.Change{Action: "create", Kind: "token", ID: minted.ID}); err != nil {
		return err
	}
	if err := writeSecretFile(run.o.tokenFile(), minted.Text+"\n"); err != nil {
		return fmt.Errorf("leaving the first admin token: %w", err)
	}
	token := configstore.APIToken{
		ID: minted.ID, Hash: minted.Hash, Name: firstTokenName, Role: string(caller.Admin), CreatedBy: ourselves,
	}
	if _, err := run.store.CreateToken(ctx, token); err != nil {
		return err
	}
	run.logger.Info("the first admin token was made", "file", run.o.tokenFile())
	return nil
}

// record puts a change that no caller makes into the audit log, before it is made: where records are required, there is none without.
func (run *program) record(change audit.Change) error {
	change.User = ourselves
	if err := run.audit.Changed(change); err != nil {
		return fmt.Errorf("--audit-log: recording a change: %w", err)
	}
	return nil
}

// writeSecretFile replaces a file by one that only its owner can read, at every moment.
func writeSecretFile(name, content string) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name()) // nothing to remove once it is renamed
	_, err = file.WriteString(content)
	if synced := file.Sync(); err == nil {
		err = synced
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	if err := os.Rename(file.Name(), name); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(name)) // without that the new name can be lost with the power, after the store was flushed
}

func syncDirectory(name string) error {
	directory, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// localAdminToken returns the token in the file that a first start left, if it is still one that the sidecar accepts.
func (run *program) localAdminToken() (string, bool) {
	run.tightenTokenFile()
	content, err := os.ReadFile(run.o.tokenFile())
	if err != nil {
		return "", false
	}
	token := strings.TrimSpace(string(content))
	identity, err := run.callers.Authenticate(&http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}})
	return token, err == nil && identity.Role == caller.Admin
}

// tightenTokenFile takes the file of the first token from everybody but its owner, as is done with the store and its key: a copy, or a volume that is mounted for a group, opens it.
func (run *program) tightenTokenFile() {
	info, err := os.Stat(run.o.tokenFile())
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return
	}
	if err := os.Chmod(run.o.tokenFile(), 0o600); err != nil {
		run.logger.Warn("others can read the admin token, and the mode of its file cannot be changed", "file", run.o.tokenFile(), "error", err)
		return
	}
	run.logger.Warn("others could read the admin token; its file has mode 0600 now, but whoever read it before has the token: make another, and revoke this one", "file", run.o.tokenFile())
}
