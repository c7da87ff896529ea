package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// AdminToken is the token of every sidecar here. It is a canary as well: it must be nowhere but in requests and in the environment.
const AdminToken = "bootstrap-canary-0123456789abcdef-admin"

// SidecarConfig says how a sidecar is started.
type SidecarConfig struct {
	Binary string
	Dir    string   // of its data
	Env    []string // besides the admin token
	Args   []string // of serve, after what every start has; the last one of a flag counts
}

// Sidecar is a running sidecar.
type Sidecar struct {
	*Process
	Base    string // URL of the main listener, without a path
	Metrics string // likewise of the metrics listener

	client *http.Client
}

// SidecarCommand is the command that starts a sidecar as the tests have it: on loopback, on ports that the system chooses, with loopback servers allowed.
func SidecarCommand(c SidecarConfig) Command {
	args := []string{"serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data-dir", c.Dir, "--allow-private-cidrs", "127.0.0.0/8,::1/128"}
	return Command{Path: c.Binary, Args: append(args, c.Args...), Env: append([]string{"MCP_SIDECAR_ADMIN_TOKEN=" + AdminToken}, c.Env...)}
}

// StartSidecar starts a sidecar and returns when it serves.
func StartSidecar(ctx context.Context, c SidecarConfig) (*Sidecar, error) {
	p, err := Start(ctx, SidecarCommand(c))
	if err != nil {
		return nil, err
	}
	s := &Sidecar{Process: p, client: &http.Client{Transport: &http.Transport{}}}
	if err := s.announced(ctx); err != nil {
		p.Kill()
		return nil, fmt.Errorf("starting a sidecar: %w\n%s", err, p.Stderr)
	}
	return s, nil
}

// announced reads where it listens, which is printed before it serves.
func (s *Sidecar) announced(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for _, wanted := range []struct {
		name, path string
		into       *string
	}{{"endpoint", "/mcp", &s.Base}, {"metrics", "/metrics", &s.Metrics}} {
		find := func(text string) (found bool) {
			*wanted.into, found = value(text, wanted.name)
			return found
		}
		if err := s.Stdout.await(ctx, s.Ended(), find); err != nil {
			// With the audit log on stdout the addresses are on stderr.
			if !find(s.Stderr.String()) {
				return fmt.Errorf("waiting for %s: %w", wanted.name, err)
			}
		}
		*wanted.into = strings.TrimSuffix(*wanted.into, wanted.path)
	}
	return nil
}

// Stop ends it as an operator would, and returns its exit code.
func (s *Sidecar) Stop(ctx context.Context) (int, error) {
	s.client.CloseIdleConnections()
	s.Signal(syscall.SIGTERM)
	return s.Wait(ctx)
}

// API calls the management API as its admin. A body of nil is none; into may be nil.
func (s *Sidecar) API(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, s.Base+"/api/v1"+path, content)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+AdminToken)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// Fields are members of a JSON object.
type Fields map[string]any

// Register registers a server that is on by default, with more fields, and returns its id.
func (s *Sidecar) Register(ctx context.Context, slug, url string, more Fields) (string, error) {
	fields := Fields{"display_name": slug, "slug": slug, "url": url, "transport": "streamable_http", "auth_type": "none", "availability": "default_on", "enabled": true}
	for name, value := range more {
		fields[name] = value
	}
	var made struct{ ID string }
	err := s.API(ctx, http.MethodPost, "/servers", fields, &made)
	return made.ID, err
}

// Meet has the sidecar get to know a server. A client that says hello waits for that only a moment, and is then told what there is without it.
func (s *Sidecar) Meet(ctx context.Context, id string) error {
	return s.API(ctx, http.MethodGet, "/servers/"+id+"/tools", nil, nil)
}

// Mint mints a token of a user, with more fields, and returns its text.
func (s *Sidecar) Mint(ctx context.Context, user string, more Fields) (string, error) {
	fields := Fields{"name": "test", "role": "user", "user": user}
	for name, value := range more {
		if fields[name] = value; value == nil {
			delete(fields, name)
		}
	}
	var made struct{ Token string }
	err := s.API(ctx, http.MethodPost, "/tokens", fields, &made)
	return made.Token, err
}

// Scrape returns what the metrics listener says at a path.
func (s *Sidecar) Scrape(ctx context.Context, path string) (status int, text string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Metrics+path, nil)
	if err != nil {
		return 0, "", err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// Environ is the environment of a process as the system shows it, or nothing where it does not.
func (p *Process) Environ() []byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
	return text
}
