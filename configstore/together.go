package configstore

import (
	"context"
	"errors"
	"sync"

	"mcpsidecar/configstore/kv"
)

// maxTogether is how many first catalogs one transaction stores, so that none grows without bound.
const maxTogether = 16

// together stores first catalogs that arrive at the same time in one transaction: after a restart a hundred servers are seen first within a second, and each transaction waits for the disk. Whoever comes while nobody writes, writes;
// the others wait, and the first of them writes next, for all that have come by then.
type together struct {
	mu      sync.Mutex // guards what follows
	writing bool
	waiting []*firstCatalog
}

// firstCatalog is one of them.
type firstCatalog struct {
	// fixed at creation
	catalog  Catalog
	revision uint64
	turn     chan struct{} // receives when it is to write; closed when it is done

	// set before turn is closed
	stored bool
	err    error
}

// join stores a catalog, with others or alone. It gives up waiting for nothing but a transaction, which ends.
func (g *together) join(one *firstCatalog, write func(batch []*firstCatalog)) {
	g.mu.Lock()
	g.waiting = append(g.waiting, one)
	first := !g.writing
	g.writing = true
	g.mu.Unlock()
	if !first {
		if _, mine := <-one.turn; !mine {
			return
		}
	}
	batch := g.take()
	defer g.next(batch)
	write(batch)
}

// take takes those that are stored now; whoever writes is one of them.
func (g *together) take() (batch []*firstCatalog) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := min(len(g.waiting), maxTogether)
	batch, g.waiting = g.waiting[:n:n], g.waiting[n:]
	return batch
}

// next lets go of those that are stored, and lets another one write.
func (g *together) next(batch []*firstCatalog) {
	for _, one := range batch {
		close(one.turn)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.writing = len(g.waiting) > 0; g.writing {
		g.waiting[0].turn <- struct{}{}
	}
}

// approveFirst stores the first catalog of a server, unless there is one.
func (s *Store) approveFirst(ctx context.Context, catalog Catalog, revision uint64) (stored bool, err error) {
	one := &firstCatalog{catalog: catalog, revision: revision, turn: make(chan struct{}, 1)}
	s.firsts.join(one, func(batch []*firstCatalog) { s.writeFirsts(context.WithoutCancel(ctx), batch) })
	return one.stored, one.err
}

// writeFirsts stores several. What is wrong with one of them is no matter of the others.
func (s *Store) writeFirsts(ctx context.Context, batch []*firstCatalog) {
	err := s.engine.Update(ctx, func(tx kv.Tx) error {
		any := false
		for _, one := range batch {
			one.err = s.mayApprove(tx, one.catalog.ServerID, one.revision, true)
			if one.stored = one.err == nil; !one.stored {
				continue
			}
			if err := s.putCatalog(tx, one.catalog); err != nil {
				return err
			}
			any = true
		}
		if !any {
			return errUnchanged
		}
		return nil
	})
	s.noteRoom(err)
	if err == nil || errors.Is(err, errUnchanged) {
		return
	}
	for _, one := range batch {
		one.stored, one.err = false, err
	}
}
