package credential

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/secret"
)

// LinkPath is where links lead, below the public URL; the text of the link follows.
const LinkPath = "/connect/"

// Invitation is what the page behind a link shows.
type Invitation struct {
	Server    configstore.Server
	User      string
	ExpiresAt time.Time
}

// NewLink returns a sign-in link for a user who has no session with us: whoever opens it within ten minutes connects an account as this user, once. scopes are what a challenge asked for; nil:
// nothing in particular. The same link is returned again while it is good for some minutes, so that many calls do not make many.
func (b *Broker) NewLink(ctx context.Context, serverID, user string, scopes []string) (string, error) {
	k := key{ServerID: serverID, User: user}
	if text, hash := b.links.find(k, scopes); text != "" {
		if _, err := b.store.Link(ctx, hash); err == nil {
			return b.public + LinkPath + text, nil
		}
	}
	if _, err := b.server(ctx, serverID); err != nil {
		return "", err
	}
	text := random()
	link, err := b.store.AddLink(ctx, configstore.Link{Hash: sha256.Sum256([]byte(text)), ServerID: serverID, User: user, Scopes: union(scopes)})
	if err != nil {
		return "", err
	}
	b.links.keep(k, scopes, text, link.ExpiresAt)
	return b.public + LinkPath + text, nil
}

// Link says what a link leads to, without using it: a page is also opened by what previews links. ErrLink if it leads nowhere.
func (b *Broker) Link(ctx context.Context, text string) (Invitation, error) {
	link, err := b.link(ctx, text)
	if err != nil {
		return Invitation{}, err
	}
	server, err := b.server(ctx, link.ServerID)
	if errors.Is(err, configstore.ErrNotFound) || errors.Is(err, ErrNotOAuth2) {
		return Invitation{}, ErrLink
	}
	return Invitation{Server: server, User: link.User, ExpiresAt: link.ExpiresAt}, err
}

func (b *Broker) link(ctx context.Context, text string) (configstore.Link, error) {
	if !ours(text) {
		return configstore.Link{}, ErrLink
	}
	link, err := b.store.Link(ctx, sha256.Sum256([]byte(text)))
	if errors.Is(err, configstore.ErrNotFound) {
		err = ErrLink
	}
	return link, err
}

// OpenLink uses a link: it begins the sign-in. browser is as in Start. A sign-in that cannot begin leaves the link as it was. Errors are ErrLink and those of Connect.
func (b *Broker) OpenLink(ctx context.Context, text, browser string) (Started, error) {
	link, err := b.link(ctx, text)
	if err != nil {
		return Started{}, err
	}
	started, err := b.Connect(ctx, Start{ServerID: link.ServerID, User: link.User, Browser: browser, Scopes: link.Scopes})
	if err != nil {
		return Started{}, err
	}
	_, err = b.store.TakeLink(ctx, link.Hash)
	if errors.Is(err, configstore.ErrNotFound) { // opened twice at once; the flow of the second ends by itself, nobody gets its URL
		err = ErrLink
	}
	if err != nil {
		return Started{}, err
	}
	return started, nil
}

// reuse is how long a link must still be good to be given out again.
const reuse = configstore.FlowLifetime / 2

// linkCache remembers the links that were given out last.
type linkCache struct {
	mu    sync.Mutex
	links map[key]cachedLink // mu guards; an entry lives until it is too old to be given out, looked for at each keep
}

type cachedLink struct {
	scopes  []string
	text    secret.Value
	expires time.Time
}

func (c *linkCache) find(k key, scopes []string) (text string, hash [32]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	link, there := c.links[k]
	if !there || !slices.Equal(link.scopes, scopes) || time.Until(link.expires) < reuse {
		return "", hash
	}
	text = link.text.Reveal()
	return text, sha256.Sum256([]byte(text))
}

func (c *linkCache) keep(k key, scopes []string, text string, expires time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for old, link := range c.links {
		if time.Until(link.expires) < reuse {
			delete(c.links, old)
		}
	}
	if c.links == nil || len(c.links) >= configstore.MaxPending {
		c.links = map[key]cachedLink{}
	}
	c.links[k] = cachedLink{slices.Clone(scopes), secret.New(text), expires}
}

func (c *linkCache) drop(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.links, k)
}
