package trace

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// queue holds spans that have ended, up to a bound, and sends them in batches. It is the span processor of the SDK.
type queue struct {
	// Fixed at creation.
	exporter sdk.SpanExporter
	timeout  time.Duration
	delay    time.Duration
	size     int // of a batch
	count    func(string, int)
	log      *slog.Logger

	spans  chan sdk.ReadOnlySpan
	orders chan chan struct{} // each asks for everything to be sent, and is closed then

	ctx       context.Context // ends with the time of whoever closes or flushes
	cut       context.CancelFunc
	patience  context.Context // ends when there is no time for repetitions any more
	hurry     context.CancelFunc
	closing   context.Context
	stop      context.CancelFunc
	goroutine sync.WaitGroup

	// Owned by run.
	batch   []sdk.ReadOnlySpan
	failing bool // the last batch was not taken
}

func newQueue(s *settings, exporter sdk.SpanExporter, config Config) *queue {
	q := &queue{
		exporter: exporter, timeout: s.timeout, delay: s.delay, size: s.batchSize, count: config.Count, log: config.Logger,
		spans: make(chan sdk.ReadOnlySpan, s.queueSize), orders: make(chan chan struct{}),
	}
	q.ctx, q.cut = context.WithCancel(context.Background())
	q.patience, q.hurry = context.WithCancel(context.Background())
	q.closing, q.stop = context.WithCancel(context.Background())
	q.goroutine.Go(q.run)
	return q
}

// OnStart is for the SDK.
func (q *queue) OnStart(context.Context, sdk.ReadWriteSpan) {}

// OnEnd queues a span, or drops it where there is no room; it never waits.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	select {
	case q.spans <- s:
	default:
		q.count(Dropped, 1)
	}
}

// Shutdown and ForceFlush are for the SDK; Tracer calls close and flush itself.
func (q *queue) Shutdown(context.Context) error { return nil }

// ForceFlush is for the SDK.
func (q *queue) ForceFlush(ctx context.Context) error { q.flush(ctx); return nil }

// flush has everything sent that is queued. From then on nothing is repeated; when ctx ends, so does what is under way.
func (q *queue) flush(ctx context.Context) {
	q.hurry()
	defer context.AfterFunc(ctx, q.cut)()
	done := make(chan struct{})
	select {
	case q.orders <- done:
		<-done // soon, once ctx has ended
	case <-q.closing.Done():
	}
}

// close is a last flush, after which nothing runs any more.
func (q *queue) close(ctx context.Context) {
	q.flush(ctx)
	q.stop()
	q.goroutine.Wait()
	q.cut()
	q.exporter.Shutdown(ctx)
}

// run sends a batch when it is full, or some time after its first span.
func (q *queue) run() {
	due := time.NewTimer(q.delay)
	due.Stop()
	defer due.Stop()
	for {
		select {
		case s := <-q.spans:
			if q.batch = append(q.batch, s); len(q.batch) == 1 {
				due.Reset(q.delay)
			}
			if len(q.batch) >= q.size {
				q.send()
			}
		case <-due.C:
			q.send()
		case done := <-q.orders:
			q.sendAll()
			close(done)
		case <-q.closing.Done():
			return
		}
	}
}

func (q *queue) sendAll() {
	for {
		select {
		case s := <-q.spans:
			if q.batch = append(q.batch, s); len(q.batch) >= q.size {
				q.send()
			}
		default:
			q.send()
			return
		}
	}
}

// firstPause is the time before the first repetition; it doubles.
const firstPause = time.Second

// send sends the batch, several times if the collector is not there at present, for as long as one batch may take.
func (q *queue) send() {
	if len(q.batch) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(q.ctx, q.timeout)
	defer cancel()
	err := q.exporter.ExportSpans(ctx, q.batch)
	for pause := firstPause; err != nil && q.waits(ctx, pause, err); pause *= 2 {
		err = q.exporter.ExportSpans(ctx, q.batch)
	}
	q.settle(err)
	clear(q.batch)
	q.batch = q.batch[:0]
}

// waits says whether it is worth trying again, after the pause that this takes.
func (q *queue) waits(ctx context.Context, pause time.Duration, err error) bool {
	var t *temporary
	if !errors.As(err, &t) || q.patience.Err() != nil {
		return false
	}
	timer := time.NewTimer(max(pause, t.after))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-q.patience.Done():
	}
	return false
}

// settle counts a batch, and says when things begin to go wrong and when they are good again.
func (q *queue) settle(err error) {
	rejected := 0
	var partly *partial
	switch {
	case errors.As(err, &partly):
		rejected = min(int(partly.rejected), len(q.batch))
	case err != nil:
		rejected = len(q.batch)
	}
	q.report(Exported, len(q.batch)-rejected)
	q.report(Failed, rejected)
	if failing := rejected > 0; failing != q.failing {
		q.failing = failing
		if failing {
			q.log.Warn("the collector does not take spans", "error", err)
		} else {
			q.log.Info("the collector takes spans again")
		}
	}
}

func (q *queue) report(result string, spans int) {
	if spans > 0 {
		q.count(result, spans)
	}
}
