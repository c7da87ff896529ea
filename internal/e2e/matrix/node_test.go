package matrix_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"sync"
	"testing"

	"mcpsidecar/internal/e2e/rig"
)

// nodeProcess runs client.mjs, which has many connections.
type nodeProcess struct {
	command *exec.Cmd
	read    sync.WaitGroup // the goroutine that reads

	mu      sync.Mutex // guards what follows, and writing
	stdin   io.WriteCloser
	last    int
	waiting map[int]chan nodeLine
	ears    map[int]*ear
	gone    bool
}

// nodeLine is a line in either direction.
type nodeLine struct {
	ID         int             `json:"id,omitempty"`
	Connection int             `json:"connection,omitempty"`
	Op         string          `json:"op,omitempty"`
	With       any             `json:"with,omitempty"`
	Value      json.RawMessage `json:"value,omitempty"`
	Error      string          `json:"error,omitempty"`
	Heard      string          `json:"heard,omitempty"`
}

// startNode starts clients of one kind for the length of the test.
func startNode(t testing.TB, node *rig.Node, args ...string) *nodeProcess {
	c := node.Command("client.mjs", args...)
	p := &nodeProcess{command: exec.Command(c.Path, c.Args...), waiting: map[int]chan nodeLine{}, ears: map[int]*ear{}}
	p.command.Env, p.command.Dir, p.command.Stderr = c.Env, c.Dir, t.Output()
	p.stdin = must[io.WriteCloser](t)(p.command.StdinPipe())
	stdout := must[io.ReadCloser](t)(p.command.StdoutPipe())
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	p.read.Go(func() { p.listen(stdout) })
	t.Cleanup(func() {
		p.stdin.Close() // which is its end
		p.read.Wait()
		p.command.Wait()
	})
	return p
}

func (p *nodeProcess) listen(stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var line nodeLine
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			continue // something that a package prints
		}
		p.mu.Lock()
		waiting, ear := p.waiting[line.ID], p.ears[line.Connection]
		delete(p.waiting, line.ID)
		p.mu.Unlock()
		switch {
		case line.Heard != "" && ear != nil:
			ear.hear(line.Heard)
		case waiting != nil:
			waiting <- line
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	for _, waiting := range p.waiting {
		waiting <- nodeLine{Error: "the process has ended"}
	}
}

// send writes a line; a process that has gone says so through listen.
func (p *nodeProcess) send(line nodeLine) {
	text, err := json.Marshal(line)
	if err == nil {
		p.stdin.Write(append(text, '\n'))
	}
}

// do has something done and waits for it.
func (p *nodeProcess) do(ctx context.Context, connection int, op string, with, into any) error {
	p.mu.Lock()
	p.last++
	id, done := p.last, make(chan nodeLine, 1)
	p.waiting[id] = done
	gone := p.gone
	p.send(nodeLine{ID: id, Connection: connection, Op: op, With: with})
	p.mu.Unlock()
	if gone {
		return errors.New("the process has ended")
	}
	select {
	case line := <-done:
		if line.Error != "" {
			return errors.New(line.Error)
		}
		if into == nil || line.Value == nil {
			return nil
		}
		return json.Unmarshal(line.Value, into)
	case <-ctx.Done():
		p.mu.Lock()
		p.send(nodeLine{ID: id, Op: "abort"})
		p.mu.Unlock()
		return ctx.Err()
	}
}

// nodeAgent is one connection.
type nodeAgent struct {
	process *nodeProcess
	id      int
	ear     *ear
}

// connect is the connecting of a client.
func (p *nodeProcess) connect(ctx context.Context, url, token string) (agent, error) {
	a := &nodeAgent{process: p, ear: newEar()}
	p.mu.Lock()
	p.last++
	a.id = p.last
	p.ears[a.id] = a.ear
	p.mu.Unlock()
	return a, a.do(ctx, "connect", map[string]any{"url": url, "token": token}, nil)
}

func (a *nodeAgent) do(ctx context.Context, op string, with, into any) error {
	return a.process.do(ctx, a.id, op, with, into)
}

func (a *nodeAgent) list(ctx context.Context, op string) (names []string, err error) {
	return names, a.do(ctx, op, nil, &names)
}

func (a *nodeAgent) text(ctx context.Context, op string, with any) (text string, err error) {
	return text, a.do(ctx, op, with, &text)
}

func (a *nodeAgent) use(ctx context.Context, op string, u use) (string, error) {
	var said struct{ Text, Failed string }
	if err := a.do(ctx, op, use{Name: u.Name, Arguments: u.arguments(), Progress: u.Progress}, &said); err != nil {
		return "", err
	}
	if said.Failed != "" {
		return "", toolFailed(said.Failed)
	}
	return said.Text, nil
}

func (a *nodeAgent) tools(ctx context.Context) ([]string, error)     { return a.list(ctx, "tools") }
func (a *nodeAgent) prompts(ctx context.Context) ([]string, error)   { return a.list(ctx, "prompts") }
func (a *nodeAgent) resources(ctx context.Context) ([]string, error) { return a.list(ctx, "resources") }
func (a *nodeAgent) templates(ctx context.Context) ([]string, error) { return a.list(ctx, "templates") }

func (a *nodeAgent) call(ctx context.Context, u use) (string, error) { return a.use(ctx, "call", u) }
func (a *nodeAgent) job(ctx context.Context, u use) (string, error)  { return a.use(ctx, "job", u) }

func (a *nodeAgent) prompt(ctx context.Context, name string, arguments map[string]string) (string, error) {
	return a.text(ctx, "prompt", map[string]any{"name": name, "arguments": arguments})
}

func (a *nodeAgent) read(ctx context.Context, uri string) (string, error) {
	return a.text(ctx, "read", map[string]any{"uri": uri})
}

func (a *nodeAgent) complete(ctx context.Context, c completion) (values []string, err error) {
	return values, a.do(ctx, "complete", c, &values)
}

func (a *nodeAgent) level(ctx context.Context, level string) error {
	return a.do(ctx, "level", map[string]any{"level": level}, nil)
}

func (a *nodeAgent) watch(ctx context.Context, uri string) error {
	return a.do(ctx, "watch", map[string]any{"uri": uri}, nil)
}

func (a *nodeAgent) ping(ctx context.Context) error { return a.do(ctx, "ping", nil, nil) }
func (a *nodeAgent) heard() *ear                    { return a.ear }

func (a *nodeAgent) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a.do(ctx, "close", nil, nil) // that it cannot say goodbye is nobody's business here
}
