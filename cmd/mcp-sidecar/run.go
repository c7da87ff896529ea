package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mcpsidecar/admin"
	"mcpsidecar/configstore"
	"mcpsidecar/configstore/kv/boltkv"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/caller"
	"mcpsidecar/internal/credential"
	"mcpsidecar/internal/demo"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/metrics"
	"mcpsidecar/internal/outbound"
	"mcpsidecar/internal/rawtcp"
	"mcpsidecar/internal/recall"
	"mcpsidecar/internal/secret"
	"mcpsidecar/internal/trace"
	"mcpsidecar/policy"
	"mcpsidecar/proxy"
	"mcpsidecar/proxy/upstream"
)

// program is everything that runs. It is built from top to bottom and stopped from bottom to top.
type program struct {
	o        options
	p        Process
	logger   *slog.Logger
	stops    stops // what ends what was started, the last first
	meter    *metrics.Metrics
	keyring  *secret.Keyring
	store    *configstore.Store
	audit    *audit.Log
	tracer   *trace.Tracer // nil: the environment asks for no traces
	callers  *caller.Authenticator
	guard    *outbound.Guard
	accounts *credential.Broker
	left     time.Duration // of the drain, when everything has ended in time
	proxy    *proxy.Proxy
	config   *reloader
	keys     *rekeyer
	health   *health
	demo     *demo.Server // nil without --demo
	api      *admin.API

	listener, metricsListener net.Listener
	watch                     *rawtcp.Watch // of the connections of both
	main, metrics             *http.Server
	gate                      *front.Gate      // of main
	fresh                     fresh            // connections of main without a request
	failed                    chan error       // what a listener that broke says
	signals                   <-chan os.Signal // nil: none ever come
}

// serve runs the sidecar until ctx ends or a signal comes. It leaves nothing behind, however far it came.
func serve(ctx context.Context, o options, p Process) (err error) {
	run := &program{o: o, p: p, logger: newLogger(p.Stderr, o), failed: make(chan error, 2)}
	defer func() { err = run.stops.all(err) }()
	for _, step := range []func(context.Context) error{
		run.subscribe, run.openStore, run.openAudit, run.openTracer, run.startDemo, run.listen, run.newData, run.newControl, run.mount, run.firstToken, run.registerDemo, run.start,
	} {
		if err := step(ctx); err != nil {
			return explain(err, o)
		}
	}
	run.announce()
	if !slices.ContainsFunc(p.Env, func(v string) bool { return strings.HasPrefix(v, "GOGC=") }) { // an operator's word counts
		defer tuneCollector()()
	}
	return run.wait(ctx)
}

// openStore opens the key and the store. Whatever is wrong with either, both are left as they were.
func (run *program) openStore(ctx context.Context) error {
	run.meter = metrics.New(metrics.Config{Version: readBuild().Version})
	keyring, err := run.openKey()
	if err != nil {
		return err
	}
	engine, err := boltkv.OpenWith(boltkv.Config{Path: run.o.storeFile(), Logger: run.log("store")})
	if err != nil {
		return err
	}
	store, err := configstore.Open(ctx, configstore.Config{
		Engine: engine, Keyring: keyring, Logger: run.log("store"), Observe: run.meter.Store, MaxUsers: run.o.maxUsers,
		Ended: func(ended []configstore.Grant) { run.accounts.Ended(ended) }, // nothing ends before there are accounts
	})
	if err != nil {
		_ = engine.Close()
		return fmt.Errorf("opening %s: %w", run.o.storeFile(), err)
	}
	run.keyring, run.store = keyring, store
	run.stops.add(store.Close)
	return nil
}

// openKey reads the key; one is made only where there is no store yet that another key could have sealed.
func (run *program) openKey() (*secret.Keyring, error) {
	if err := os.MkdirAll(run.o.dataDir, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	_, err := os.Stat(run.o.storeFile())
	keyring, made, err := secret.LoadKeyring(run.o.keyPath(), os.IsNotExist(err))
	if err != nil {
		return nil, err
	}
	for _, warning := range keyring.Warnings() {
		run.logger.Warn(warning)
	}
	if made && run.o.keyFile == "" {
		run.logger.Warn("a key was made beside the store; whoever has both can read the secrets: keep it elsewhere with --key-file, and back it up", "key_file", run.o.keyPath())
	}
	return keyring, nil
}

func (run *program) openAudit(context.Context) (err error) {
	run.audit, err = audit.Open(audit.Config{
		Path: run.o.auditLog, Required: run.o.auditRequired, Stdout: run.p.Stdout, Lost: run.meter.AuditLost, Logger: run.log("audit"),
	})
	if err != nil {
		return fmt.Errorf("--audit-log: %w", err)
	}
	run.stops.add(run.audit.Close)
	return nil
}

// openTracer makes what the variables of OpenTelemetry ask for; mostly that is nothing.
func (run *program) openTracer(context.Context) (err error) {
	run.tracer, err = trace.Open(trace.Config{Env: run.p.Env, Version: readBuild().Version, Count: run.meter.Spans, Logger: run.log("trace")})
	run.stops.add(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastFlush)
		defer cancel()
		run.tracer.Close(ctx)
		return nil
	})
	return err
}

// newData builds the data path: who calls, what may be reached, whose accounts are used there, and the proxy between.
func (run *program) newData(ctx context.Context) (err error) {
	run.callers, err = caller.New(caller.Config{Bootstrap: run.o.adminToken, Users: run.store})
	if err != nil {
		return fmt.Errorf("%s: %w", envAdminToken, err)
	}
	allowed := run.allowedNetworks()
	run.guard = outbound.NewGuard(allowed)
	client, err := outbound.New(outbound.Config{AllowPrivate: allowed})
	if err != nil {
		return err
	}
	run.stops.add(func() error { client.CloseIdleConnections(); return nil })
	if err := run.newAccounts(client); err != nil {
		return err
	}
	sessionKey, err := run.keyring.Derive("session")
	if err != nil {
		return err
	}
	memory, err := run.openMemory(ctx)
	if err != nil {
		return err
	}
	run.proxy, err = proxy.New(proxy.Config{
		Callers: run.callers, Client: client, SessionKey: sessionKey, Metrics: run.meter, Audit: run.audit, Memory: memory,
		Baseline: run.firstCatalog, Grants: grants{run.accounts}, Tracer: run.tracer, Version: readBuild().Version, MaxBody: run.o.maxBody, PerCaller: run.o.perUser, Limits: run.o.limits(), Logger: run.log("proxy"),
	})
	if err != nil {
		return err
	}
	run.stops.add(func() error { run.proxy.Close(); return nil })
	return nil
}

// memoryHolds is what an operator has to know who decides what becomes of a broken one.
const memoryHolds = "it holds nothing but what clients have subscribed to: without the file they have to do so again"

// openMemory opens what sessions have asked to be remembered. It is apart from the store, and worth less: without the file, clients have to subscribe again.
func (run *program) openMemory(ctx context.Context) (*recall.Store, error) {
	key, err := run.keyring.Derive("session memory")
	if err != nil {
		return nil, err
	}
	engine, err := boltkv.OpenWith(boltkv.Config{Path: run.o.memoryFile(), Logger: run.log("memory")})
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, memoryHolds)
	}
	memory, err := recall.Open(ctx, recall.Config{Engine: engine, Key: key})
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, memoryHolds)
	}
	run.stops.add(memory.Close)
	return memory, nil
}

// allowedNetworks are those of the flag, and with --demo exactly the address of the demo server.
func (run *program) allowedNetworks() []netip.Prefix {
	if !run.o.demo {
		return run.o.allowPrivate
	}
	loopback := netip.MustParsePrefix("127.0.0.1/32")
	run.logger.Warn("--demo lets servers be at 127.0.0.1, where the demo server is; without it loopback is refused like every private network", "allowed", loopback.String())
	return append([]netip.Prefix{loopback}, run.o.allowPrivate...)
}

// firstCatalog stores the first catalog that was seen of a server as the one that is approved, and has it in use when it returns: the list that is being waited for is judged by it.
func (run *program) firstCatalog(ctx context.Context, serverID string, revision uint64, first policy.Baseline) error {
	stored, err := run.store.ApproveCatalog(ctx, configstore.Catalog{ServerID: serverID, Baseline: first}, revision, true)
	if err != nil || !stored {
		return err
	}
	return run.config.reload(ctx)
}

// newControl builds what configures the data path: the API, and what loads the store's state into it.
func (run *program) newControl(ctx context.Context) (err error) {
	run.config = &reloader{store: run.store, callers: run.callers, proxy: run.proxy, logger: run.log("reload")}
	run.health = &health{store: run.store, audit: run.audit, auditRequired: run.o.auditRequired, meter: run.meter, scrape: run.meter.Handler()}
	if run.keys, err = newRekeyer(ctx, run.o.keyPath(), run.store, run.keyring, run.log("keys")); err != nil {
		return err
	}
	run.stops.add(run.keys.close)
	run.api, err = admin.New(admin.Config{
		Store: run.store, Callers: run.callers, Servers: probes{run.proxy}, Accounts: run.accounts, Keys: run.keys, Sealer: run.keyring, DocumentURL: run.documentURL(), Reload: run.config.reload, CheckURL: run.guard.CheckURL,
		Audit: run.audit, Public: run.o.publicURL, Refused: run.meter.AuthFailure, Version: readBuild().Version, Logger: run.log("admin"),
	})
	return err
}

// listen opens both listeners. Nothing is answered before start.
func (run *program) listen(context.Context) (err error) {
	if run.listener, err = open("--listen", run.o.listen, &run.stops); err != nil {
		return err
	}
	if run.metricsListener, err = open("--metrics-listen", run.o.metricsListen, &run.stops); err != nil {
		return err
	}
	if run.watch, err = rawtcp.NewWatch(); err != nil {
		return err
	}
	run.stops.add(run.watch.Close)
	return nil
}

// mount puts the handlers behind the checks that every request has to pass.
func (run *program) mount(context.Context) error {
	run.gate = front.Wrap(front.Config{
		Listen: run.listener.Addr().String(), PublicURL: run.o.publicURL, Logger: run.log("front"), Count: run.meter.HTTP, Refused: run.meter.AuthFailure,
	}, routes(run.proxy, run.api))
	watched := front.Wrap(front.Config{Listen: run.metricsListener.Addr().String(), Logger: run.log("front")}, run.health)
	run.main = front.NewServer(run.gate, run.log("http"))
	run.main.ConnState, run.main.ConnContext = run.fresh.note, rawtcp.Context
	run.metrics = front.NewServer(watched, run.log("http"))
	if run.o.auditLog == "" {
		run.logger.Info("calls are not recorded; --audit-log would")
	}
	return nil
}

// start loads the stored state and starts the goroutines: one for each listener, and one that follows the store.
func (run *program) start(ctx context.Context) error {
	run.stops.add(run.config.follow(ctx)) // before the first reload, so that no change falls between the two
	if err := run.config.reload(ctx); err != nil {
		return err
	}
	run.stops.add(func() error { run.gate.Close(); return nil })
	run.serve(run.metrics, run.metricsListener)
	run.serve(run.main, run.listener)
	run.health.check(ctx)
	return nil
}

func (run *program) log(component string) *slog.Logger {
	return run.logger.With("component", component)
}

// storeFile is where the store is.
func (o options) storeFile() string { return filepath.Join(o.dataDir, "sidecar.db") }

// memoryFile is where sessions have what they asked for remembered.
func (o options) memoryFile() string { return filepath.Join(o.dataDir, "sessions.db") }

// keyPath is where the key is.
func (o options) keyPath() string {
	return first(o.keyFile, filepath.Join(o.dataDir, "sidecar.key"))
}

// tokenFile is where the first admin token is left.
func (o options) tokenFile() string { return filepath.Join(o.dataDir, "admin.token") }

// limits are those of a call; what is not a flag has the default.
func (o options) limits() upstream.Limits {
	return upstream.Limits{Message: o.maxMessage, Call: o.upstreamTimeout, Total: o.upstreamMaxTime, Pages: o.maxPages}
}
