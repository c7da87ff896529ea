package discovery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const (
	// maxBody bounds whatever is read.
	maxBody = 1 << 20
	// requestTimeout bounds one request, so that a place that never answers leaves time to ask the next one.
	requestTimeout = 10 * time.Second
	// protocolVersion is what a server of any revision may answer to; those of 2025-03-26 want it in metadata requests, too.
	protocolVersion = "2026-07-28"
)

// get reads one metadata document.
func (c *Client) get(ctx context.Context, step, address string, document any) *Failure {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fail(step, address, unacceptable("it cannot be read"))
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("MCP-Protocol-Version", protocolVersion)
	response, err := c.do(request)
	if err != nil {
		return unreachable(step, address, err)
	}
	defer response.Body.Close()
	if err := judgeStatus(response.StatusCode); err != nil {
		return answered(step, address, response.StatusCode, err)
	}
	return decode(step, address, response, document)
}

func (c *Client) do(request *http.Request) (*http.Response, error) {
	request.Header.Set("User-Agent", c.userAgent)
	return c.http.Do(request)
}

// judgeStatus says what the status of an answer to a GET means. Whatever a server says to what it does not know, be it that one has to sign in first, the document is not there.
func judgeStatus(status int) error {
	switch {
	case status == http.StatusOK:
		return nil
	case status >= 300 && status < 400:
		return fmt.Errorf("%w: it is a redirect, and redirects are not followed", ErrBadAnswer)
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests, status >= 500:
		return fmt.Errorf("%w: it is an error, which may pass", ErrUnreachable)
	case status >= 400:
		return ErrNotFound
	}
	return fmt.Errorf("%w: its status should be 200", ErrBadAnswer)
}

// decode reads an answer as one JSON object: names exactly as they should be, none twice. What it is labelled as does not matter; a web page where JSON should be is no document at all,
// since many sites answer with their front page to anything.
func decode(step, address string, response *http.Response, document any) *Failure {
	bad := func(err error) *Failure { return answered(step, address, response.StatusCode, err) }
	body, err := readBody(response)
	if err != nil {
		if errors.Is(err, ErrBadAnswer) {
			return bad(err)
		}
		return unreachable(step, address, err)
	}
	switch err := json.Unmarshal(body, document); {
	case err == nil:
		return nil
	case strings.HasPrefix(strings.TrimSpace(string(body[:min(len(body), 64)])), "<"):
		return bad(fmt.Errorf("%w, but a web page", ErrNotFound))
	case errors.Is(err, jsontext.ErrDuplicateName):
		return bad(fmt.Errorf("%w: it has the same name twice", ErrBadAnswer))
	}
	return bad(fmt.Errorf("%w: it is not a JSON object of the expected form", ErrBadAnswer))
}

func readBody(response *http.Response) ([]byte, error) {
	if coding := response.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, fmt.Errorf("%w: it is compressed, which was not asked for", ErrBadAnswer)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%w: it is larger than 1 MiB", ErrBadAnswer)
	}
	return body, nil
}
