package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// envPrefix opens the name of every environment variable of ours.
const envPrefix = "MCP_SIDECAR_"

// Environment variables that are no flags of serve. Two belong to the commands that use the API; a token is no flag because argv can be read by everybody on the machine.
const (
	envURL        = envPrefix + "URL"
	envToken      = envPrefix + "TOKEN"
	envAdminToken = envPrefix + "ADMIN_TOKEN"
)

// options are the flags of serve, read and checked.
type options struct {
	listen, metricsListen string
	dataDir, keyFile      string
	publicURL             *url.URL // nil: not given
	documentURL           string   // empty: not given
	allowPrivate          []netip.Prefix
	auditLog              string // empty: none, "-": stdout
	auditRequired         bool
	logLevel              slog.Level
	logJSON               bool
	maxBody, maxMessage   int
	maxPages              int
	perUser               int
	maxUsers              int
	tokenRate             int
	upstreamTimeout       time.Duration
	upstreamMaxTime       time.Duration
	drainTimeout          time.Duration
	demo                  bool
	adminToken            string // of the environment only
}

// Flag is one flag of serve, which is an environment variable as well.
type Flag struct {
	Name    string // without the dashes
	Default string
	Usage   string // `value` in backquotes

	set func(o *options, text string) error // the error says what is allowed
}

// Env is the environment variable that stands in for the flag.
func (f Flag) Env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// Flags are all flags of serve, in the order of its help and of the README.
func Flags() []Flag { return slices.Clone(flags) }

var flags = []Flag{
	{"listen", "127.0.0.1:8080", "`host:port` of the MCP endpoint and the management API; port 0 lets the system choose",
		func(o *options, text string) error { return setAddress(&o.listen, text) }},
	{"metrics-listen", "127.0.0.1:9090", "`host:port` of /metrics, /healthz and /readyz",
		func(o *options, text string) error { return setAddress(&o.metricsListen, text) }},
	{"data-dir", "./data", "`directory` of the store, made if there is none",
		func(o *options, text string) error { return setText(&o.dataDir, text) }},
	{"public-url", "", "`URL` under which others reach the sidecar, if it is not the listener's own",
		setPublicURL},
	{"client-metadata-url", "", "https `URL` under which providers find /oauth/client.json, if it is not the public URL's own",
		setDocumentURL},
	{"key-file", "", "`file` of the key that seals secrets, made with a new store; empty means sidecar.key in the data directory",
		func(o *options, text string) error { o.keyFile = text; return nil }},
	{"allow-private-cidrs", "", "private, loopback or link-local `networks` that servers may be in, separated by commas",
		setPrefixes},
	{"audit-log", "", "`file` for audit records, - for stdout; empty means none",
		func(o *options, text string) error { o.auditLog = text; return nil }},
	{"audit-required", "false", "refuse calls and changes that cannot be recorded",
		func(o *options, text string) error { return setBool(&o.auditRequired, text) }},
	{"log-level", "info", "least `level` that is logged: debug, info, warn or error",
		setLevel},
	{"log-format", "text", "`format` of the log on stderr: text or json",
		setFormat},
	{"max-body", "4MiB", "largest request `size` that is read",
		func(o *options, text string) error { return setSize(&o.maxBody, text) }},
	{"max-message", "16MiB", "largest `size` of one message of a server",
		func(o *options, text string) error { return setSize(&o.maxMessage, text) }},
	{"max-pages", "100", "largest `number` of pages of a server's list",
		func(o *options, text string) error { return setCount(&o.maxPages, text) }},
	{"max-requests-per-user", "1024", "largest `number` of requests of one user under way; a large body counts once more for each MiB",
		func(o *options, text string) error { return setCount(&o.perUser, text) }},
	{"max-users", "10000", "largest `number` of known users up to which agents may make further ones known; a token can always name one",
		func(o *options, text string) error { return setUsers(&o.maxUsers, text) }},
	{"token-rate", "20", "largest `number` of token requests a second to one OAuth2 provider",
		func(o *options, text string) error { return setCount(&o.tokenRate, text) }},
	{"upstream-timeout", "60s", "`time` a server has to answer a call, when nothing comes before the answer",
		func(o *options, text string) error { return setDuration(&o.upstreamTimeout, text) }},
	{"upstream-max-time", "10m", "`time` after which a call ends however much progress is reported",
		func(o *options, text string) error { return setDuration(&o.upstreamMaxTime, text) }},
	{"drain-timeout", "25s", "`time` that requests under way have to end after SIGTERM",
		func(o *options, text string) error { return setDuration(&o.drainTimeout, text) }},
	{"demo", "false", "run a demo MCP server in this process, registered as demo",
		func(o *options, text string) error { return setBool(&o.demo, text) }},
}

// text is a flag's value before it is read: reading comes later, for flags and environment alike.
type text struct {
	value  string
	isBool bool
}

func (t *text) String() string { return t.value }
func (t *text) Set(value string) error {
	t.value = value
	return nil
}

// Type decides how the help shows the flag.
func (t *text) Type() string {
	if t.isBool {
		return "bool"
	}
	return "string"
}

// addFlags defines the flags with these names.
func addFlags(set *pflag.FlagSet, which []Flag) {
	for _, f := range which {
		value := &text{value: f.Default, isBool: f.Default == "false"}
		flag := set.VarPF(value, f.Name, "", f.Usage+" ["+f.Env()+"]")
		if value.isBool {
			flag.NoOptDefVal = "true"
		}
	}
}

// readOptions reads every flag: from the command line, else from the environment, else its default.
func readOptions(set *pflag.FlagSet, env []string) (options, error) {
	var o options
	if err := knownOnly(env); err != nil {
		return o, err
	}
	for _, f := range flags {
		if err := readFlag(&o, f, set, env); err != nil {
			return o, err
		}
	}
	o.adminToken = lookup(env, envAdminToken)
	if o.auditRequired && o.auditLog == "" {
		return o, errors.New("--audit-required needs --audit-log: there is nowhere to record to")
	}
	return o, nil
}

func readFlag(o *options, f Flag, set *pflag.FlagSet, env []string) error {
	source, value := "--"+f.Name, f.Default
	if set.Changed(f.Name) {
		value = set.Lookup(f.Name).Value.String()
	} else if given := lookup(env, f.Env()); given != "" {
		source, value = f.Env(), given
	}
	if err := f.set(o, value); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

// knownOnly finds misspelled variables: whoever sets one believes that it has an effect.
func knownOnly(env []string) error {
	known := []string{envURL, envToken, envAdminToken}
	for _, f := range flags {
		known = append(known, f.Env())
	}
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, envPrefix) && !slices.Contains(known, name) {
			return fmt.Errorf("the environment has %s, which means nothing; unset it, or correct its name", name)
		}
	}
	return nil
}

// lookup returns the last value of a variable. An empty one is as good as none: that is how deployment tools write "not set".
func lookup(env []string, name string) (value string) {
	for _, entry := range env {
		if given, ok := strings.CutPrefix(entry, name+"="); ok {
			value = given
		}
	}
	return value
}
