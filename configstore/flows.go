package configstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mcpsidecar/configstore/kv"
)

// BeginFlow stores a flow for FlowLifetime. It sweeps the expired ones, and a user's oldest where it has too many. ErrConflict if the server is no longer what the flow is bound to.
func (s *Store) BeginFlow(ctx context.Context, flow Flow) error {
	return s.update(ctx, opBeginFlow, func(tx kv.Tx) error {
		if flow.State == [32]byte{} || flow.Browser == [32]byte{} || !validUser(flow.User) {
			return fmt.Errorf("%w: a flow needs a state, a browser and a user", ErrInvalid)
		}
		if err := s.bound(tx, flow.ServerID, flow.Binding); err != nil {
			return err
		}
		if err := s.makeRoom(tx, prefixFlow, flow.User, s.pendingFlows); err != nil {
			return err
		}
		flow.CreatedAt, flow.Taken = s.moment(), false
		flow.ExpiresAt = flow.CreatedAt.Add(FlowLifetime)
		return s.putFlow(tx, flow)
	})
}

func (s *Store) putFlow(tx kv.Tx, flow Flow) error {
	stored, err := s.codec.sealFlow(flow)
	if err != nil {
		return err
	}
	return s.put(tx, flowKey(flow.State), stored)
}

// bound says ErrConflict if a server is no longer what something was bound to.
func (s *Store) bound(tx kv.Tx, serverID, binding string) error {
	server, err := s.server(tx, serverID)
	if err != nil {
		return err
	}
	if server.AuthType != AuthOAuth2 || server.OAuthBinding() != binding {
		return fmt.Errorf("server %s is not what it was: %w", serverID, ErrConflict)
	}
	return nil
}

// TakeFlow marks a flow as answered and returns it; ErrNotFound if there is none, if it is expired, or if it was taken before. accept may refuse it first: then it stays as it was, and accept's
// error is returned unchanged.
func (s *Store) TakeFlow(ctx context.Context, state [32]byte, accept func(Flow) error) (flow Flow, err error) {
	err = s.update(ctx, opTakeFlow, func(tx kv.Tx) (err error) {
		if flow, err = s.flow(tx, state); err != nil {
			return err
		}
		now := s.moment()
		if flow.Taken || !now.Before(flow.ExpiresAt) {
			return fmt.Errorf("flow: %w", ErrNotFound)
		}
		if err := accept(flow); err != nil {
			return refusal{err}
		}
		flow.Taken = true
		if least := now.Add(takenFlow); flow.ExpiresAt.Before(least) {
			flow.ExpiresAt = least
		}
		return s.putFlow(tx, flow)
	})
	return flow, err
}

func (s *Store) flow(tx kv.Tx, state [32]byte) (Flow, error) {
	var stored flowRecord
	found, err := s.get(tx, flowKey(state), &stored)
	if err != nil {
		return Flow{}, err
	}
	if !found {
		return Flow{}, fmt.Errorf("flow: %w", ErrNotFound)
	}
	flow, err := s.codec.openFlow(stored)
	if err != nil {
		return Flow{}, s.damaged(flowKey(state), err)
	}
	return flow, nil
}

// FinishFlow stores the grant that a taken flow brought, in place of the one before it, and deletes the flow. ErrNotFound if the flow is gone: somebody disconnected, or the server or the user
// was deleted. ErrConflict if the server is no longer what the flow was bound to.
func (s *Store) FinishFlow(ctx context.Context, state [32]byte, grant Grant) (Grant, error) {
	err := s.update(ctx, opFinishFlow, func(tx kv.Tx) error {
		flow, err := s.flow(tx, state)
		if err != nil {
			return err
		}
		if !flow.Taken {
			return fmt.Errorf("%w: the flow was not taken", ErrInvalid)
		}
		if err := s.bound(tx, flow.ServerID, flow.Binding); err != nil {
			return err
		}
		grant.ServerID, grant.User, grant.Binding, grant.CreatedAt = flow.ServerID, flow.User, flow.Binding, s.moment()
		if _, err := s.ensureUser(tx, grant.User); err != nil {
			return err
		}
		if err := s.putGrant(tx, &grant); err != nil {
			return err
		}
		return tx.Delete(flowKey(state))
	})
	if err != nil {
		return Grant{}, err
	}
	return grant, nil
}

// DropFlow deletes a flow that came to nothing; that it is gone already is no error.
func (s *Store) DropFlow(ctx context.Context, state [32]byte) error {
	return s.update(ctx, opDropFlow, func(tx kv.Tx) error { return tx.Delete(flowKey(state)) })
}

// AddLink stores a link for FlowLifetime. It sweeps the expired ones, and a user's oldest where it has too many.
func (s *Store) AddLink(ctx context.Context, link Link) (Link, error) {
	err := s.update(ctx, opAddLink, func(tx kv.Tx) error {
		if link.Hash == [32]byte{} || !validUser(link.User) {
			return fmt.Errorf("%w: a link needs the hash of its text and a user", ErrInvalid)
		}
		if _, err := s.server(tx, link.ServerID); err != nil {
			return err
		}
		if err := s.makeRoom(tx, prefixLink, link.User, s.pendingLinks); err != nil {
			return err
		}
		link.CreatedAt = s.moment()
		link.ExpiresAt = link.CreatedAt.Add(FlowLifetime)
		return s.put(tx, linkKey(link.Hash), storedLink(link))
	})
	if err != nil {
		return Link{}, err
	}
	return link, nil
}

// Link returns a link without using it; ErrNotFound if it is unknown, used or expired.
func (s *Store) Link(ctx context.Context, hash [32]byte) (link Link, err error) {
	err = s.view(ctx, opLink, func(tx kv.Tx) (err error) {
		link, err = s.link(tx, hash)
		return err
	})
	return link, err
}

func (s *Store) link(tx kv.Tx, hash [32]byte) (Link, error) {
	var stored linkRecord
	found, err := s.get(tx, linkKey(hash), &stored)
	if err != nil {
		return Link{}, err
	}
	if !found || !s.moment().Before(stored.ExpiresAt) {
		return Link{}, fmt.Errorf("link: %w", ErrNotFound)
	}
	return openLink(stored)
}

// TakeLink uses a link: it is returned once.
func (s *Store) TakeLink(ctx context.Context, hash [32]byte) (link Link, err error) {
	err = s.update(ctx, opTakeLink, func(tx kv.Tx) (err error) {
		if link, err = s.link(tx, hash); err != nil {
			return err
		}
		return tx.Delete(linkKey(hash))
	})
	return link, err
}

// pending is what a flow and a link have in common.
type pending struct {
	key            string
	serverID, user string
	created        time.Time
	expires        time.Time
}

func (s *Store) pendingFlows(tx kv.Tx) ([]pending, error) {
	return scan(s, tx, prefixFlow, func(stored flowRecord) (pending, error) {
		return pending{prefixFlow + stored.State, stored.ServerID, stored.User, stored.CreatedAt, stored.ExpiresAt}, nil
	})
}

func (s *Store) pendingLinks(tx kv.Tx) ([]pending, error) {
	return scan(s, tx, prefixLink, func(stored linkRecord) (pending, error) {
		return pending{prefixLink + stored.Hash, stored.ServerID, stored.User, stored.CreatedAt, stored.ExpiresAt}, nil
	})
}

// deletePending deletes flows and links, and says how many.
func (s *Store) deletePending(tx kv.Tx, which func(serverID, user string) bool) (deleted int, err error) {
	for _, list := range []func(kv.Tx) ([]pending, error){s.pendingFlows, s.pendingLinks} {
		all, err := list(tx)
		if err != nil {
			return deleted, err
		}
		for _, p := range all {
			if !which(p.serverID, p.user) {
				continue
			}
			if err := tx.Delete(p.key); err != nil {
				return deleted, err
			}
			deleted++
		}
	}
	return deleted, nil
}

// makeRoom deletes what is expired, and the oldest of a user, or of all, where there are too many for one more.
func (s *Store) makeRoom(tx kv.Tx, prefix, user string, list func(kv.Tx) ([]pending, error)) error {
	all, err := list(tx)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b pending) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.key, b.key)) })
	total, own, now := len(all), 0, s.moment()
	for _, p := range all {
		if p.user == user && now.Before(p.expires) {
			own++
		}
	}
	for _, p := range all { // the oldest first
		expired, tooMany := !now.Before(p.expires), total >= MaxPending || p.user == user && own >= MaxPerUser
		if !expired && !tooMany {
			continue
		}
		if err := tx.Delete(p.key); err != nil {
			return err
		}
		total--
		if p.user == user && !expired {
			own--
		}
	}
	return nil
}
