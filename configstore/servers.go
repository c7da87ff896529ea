package configstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mcpsidecar/configstore/kv"
)

// ErrInvalid is a record that cannot be stored at all; Validate finds it earlier and says more.
var ErrInvalid = errors.New("the record cannot be stored")

// NewID mints the id of a server before it is stored: a random UUID.
func NewID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// Servers lists all servers by display name, then slug.
func (s *Store) Servers(ctx context.Context) (servers []Server, err error) {
	err = s.view(ctx, opServers, func(tx kv.Tx) (err error) {
		servers, err = s.servers(tx)
		return err
	})
	return servers, err
}

func (s *Store) servers(tx kv.Tx) ([]Server, error) {
	servers, err := scan(s, tx, prefixServer, s.codec.openServer)
	slices.SortFunc(servers, func(a, b Server) int {
		return cmp.Or(cmp.Compare(a.DisplayName, b.DisplayName), cmp.Compare(a.Slug, b.Slug))
	})
	return servers, err
}

// Server returns one server.
func (s *Store) Server(ctx context.Context, id string) (server Server, err error) {
	err = s.view(ctx, opServer, func(tx kv.Tx) (err error) {
		server, err = s.server(tx, id)
		return err
	})
	return server, err
}

// server reads one server; an id that can be nobody's is simply not found.
func (s *Store) server(tx kv.Tx, id string) (Server, error) {
	if !validID(id) {
		return Server{}, fmt.Errorf("server %q: %w", shortened(id), ErrNotFound)
	}
	var stored serverRecord
	found, err := s.get(tx, serverKey(id), &stored)
	if err != nil {
		return Server{}, err
	}
	if !found {
		return Server{}, fmt.Errorf("server %s: %w", id, ErrNotFound)
	}
	server, err := s.codec.openServer(stored)
	if err != nil {
		return Server{}, s.damaged(serverKey(id), err)
	}
	return server, nil
}

// CreateServer stores a new server, whose ID is set and whose fields pass Validate; it sets times and revision. ErrDuplicate if the slug is taken.
func (s *Store) CreateServer(ctx context.Context, server Server) (Server, error) {
	err := s.update(ctx, opCreateServer, func(tx kv.Tx) error {
		if !validID(server.ID) {
			return fmt.Errorf("%w: a server needs an id of NewID", ErrInvalid)
		}
		if _, taken, err := tx.Get(serverKey(server.ID)); err != nil {
			return err
		} else if taken {
			return fmt.Errorf("%w: there is a server %s already", ErrConflict, server.ID)
		}
		server.CreatedAt = s.moment()
		server.UpdatedAt = server.CreatedAt
		server.Revision = 1
		if err := s.takeSlug(tx, server); err != nil {
			return err
		}
		return s.putServer(tx, server)
	})
	if err != nil {
		return Server{}, err
	}
	return server, nil
}

// takeSlug makes the slug the server's own.
func (s *Store) takeSlug(tx kv.Tx, server Server) error {
	if server.Slug == "" {
		return fmt.Errorf("%w: a server needs a slug", ErrInvalid)
	}
	key := slugKey(server.Slug)
	if _, taken, err := tx.Get(key); err != nil {
		return err
	} else if taken {
		return fmt.Errorf("%q: %w", server.Slug, ErrDuplicate)
	}
	return s.put(tx, key, slugRecord{ServerID: server.ID})
}

func (s *Store) putServer(tx kv.Tx, server Server) error {
	stored, err := s.codec.sealServer(server)
	if err != nil {
		return err
	}
	return s.put(tx, serverKey(server.ID), stored)
}

// UpdateServer changes one server by a closure inside the transaction; the closure does no I/O and may run twice; its error is returned unchanged. The id and who made the server when
// stay what they are; times and revision are set. A change of url or transport drops the approved catalog: it was somebody else's. A change that would send grants elsewhere (see
// Server.OAuthBinding) ends them, with what is in progress and the registration.
func (s *Store) UpdateServer(ctx context.Context, id string, change func(*Server) error) (Server, error) {
	var after Server
	err := s.updateEnding(ctx, opUpdateServer, func(tx kv.Tx, e *ending) error {
		before, err := s.server(tx, id)
		if err != nil {
			return err
		}
		if after, err = s.server(tx, id); err != nil { // read again, so that the closure has lists and maps of its own
			return err
		}
		if err := change(&after); err != nil {
			return refusal{err}
		}
		after.ID, after.CreatedAt, after.CreatedBy = before.ID, before.CreatedAt, before.CreatedBy
		after.UpdatedAt, after.Revision = s.moment(), before.Revision+1
		return s.replaceServer(tx, e, before, after)
	})
	if err != nil {
		return Server{}, err
	}
	return after, nil
}

func (s *Store) replaceServer(tx kv.Tx, e *ending, before, after Server) error {
	if after.Slug != before.Slug {
		if err := s.takeSlug(tx, after); err != nil {
			return err
		}
		if err := tx.Delete(slugKey(before.Slug)); err != nil {
			return err
		}
	}
	if after.URL != before.URL || after.Transport != before.Transport {
		if err := tx.Delete(catalogKey(after.ID)); err != nil {
			return err
		}
	}
	if after.OAuthBinding() != before.OAuthBinding() {
		if err := e.all(after.ID); err != nil {
			return err
		}
	}
	return s.putServer(tx, after)
}

// DeleteServer deletes a server and all that belongs to it.
func (s *Store) DeleteServer(ctx context.Context, id string) error {
	return s.DeleteServerIf(ctx, id, func(Server) error { return nil })
}

// DeleteServerIf is DeleteServer, unless accept, which is asked inside the transaction, has an error for the server as it is then. accept does no I/O and may be asked twice.
func (s *Store) DeleteServerIf(ctx context.Context, id string, accept func(Server) error) error {
	return s.updateEnding(ctx, opDeleteServer, func(tx kv.Tx, e *ending) error {
		server, err := s.server(tx, id)
		if err != nil {
			return err
		}
		if err := accept(server); err != nil {
			return err
		}
		return errors.Join(e.all(id), tx.Delete(serverKey(id)), tx.Delete(slugKey(server.Slug)), tx.Delete(catalogKey(id)))
	})
}

// validID says whether a text can be an id. Ids are parts of keys, and never structure: none has a slash in it.
func validID(id string) bool {
	return id != "" && len(id) <= 64 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

// shortened is what a message may repeat of a text that a stranger chose.
func shortened(text string) string {
	if len(text) > 64 {
		return text[:64] + "..."
	}
	return text
}
