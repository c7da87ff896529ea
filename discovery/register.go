package discovery

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"mcpsidecar/internal/secret"
)

// ClientMetadata is what the sidecar says about itself when it registers.
type ClientMetadata struct {
	Name        string   // client_name: required
	URI         string   // client_uri: a page about the sidecar; may be empty
	RedirectURI string   // required: https, or http on loopback
	Scopes      []string // scope: all that may ever be asked for, since some authorization servers hold a client to it; none: not said
	DocumentURL string   // where our Client ID Metadata Document is served by https; empty: nowhere
}

// Registration is a client id at one authorization server. It is worth nothing for another issuer or redirect URI: register anew when either changes.
type Registration struct {
	Issuer        string
	RedirectURI   string
	ClientID      string
	ClientSecret  secret.Value // zero: a public client
	AuthMethod    string       // at the token endpoint: AuthNone, AuthBasic or AuthPost
	SecretExpires time.Time    // zero: never
	Document      bool         // the client id is the URL of our document, which no authorization server gave: it is good for any issuer
}

// Register gets a client id, in the order of the specification: the URL of our own document where the authorization server reads such documents and there is one, else dynamic registration.
// A client that an admin configured needs no Register. Every error but one of ctx is a *Failure; nothing is remembered.
func (c *Client) Register(ctx context.Context, metadata Metadata, client ClientMetadata) (Registration, error) {
	if failure := judgeClient(client); failure != nil {
		return Registration{}, failure
	}
	if usesDocument(metadata, client) {
		return Registration{Issuer: metadata.Issuer, RedirectURI: client.RedirectURI, ClientID: client.DocumentURL, AuthMethod: AuthNone, Document: true}, nil
	}
	within, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	registration, failure := c.register(within, metadata, client)
	if ctx.Err() != nil {
		return Registration{}, ctx.Err()
	}
	if failure != nil {
		return Registration{}, failure
	}
	return registration, nil
}

func judgeClient(client ClientMetadata) *Failure {
	if client.Name == "" {
		return fail(stepRegister, "", fmt.Errorf("%w: the sidecar has no name", ErrBadInput))
	}
	if _, err := loopback.endpoint(client.RedirectURI); err != nil {
		return fail(stepRegister, client.RedirectURI, fmt.Errorf("%w: the redirect URI: %w", ErrBadInput, err))
	}
	if client.DocumentURL != "" {
		if err := judgeDocumentURL(client.DocumentURL); err != nil {
			return fail(stepRegister, client.DocumentURL, fmt.Errorf("%w: the URL of the client metadata document: %w", ErrBadInput, err))
		}
	}
	return nil
}

// usesDocument says whether the URL of our document is to be the client id. Such a client has no secret: where an authorization server says that it takes no public clients, being
// registered is better, if that is possible.
func usesDocument(metadata Metadata, client ClientMetadata) bool {
	if !metadata.ClientDocument || client.DocumentURL == "" {
		return false
	}
	public := len(metadata.TokenAuthMethods) == 0 || slices.Contains(metadata.TokenAuthMethods, AuthNone)
	return public || metadata.RegistrationEndpoint == ""
}

// register asks for each way of authentication in turn, as long as the authorization server answers 400: some say that they take public clients, but none with a redirect URI on the web.
func (c *Client) register(ctx context.Context, metadata Metadata, client ClientMetadata) (Registration, *Failure) {
	if metadata.RegistrationEndpoint == "" {
		return Registration{}, unregistered(cmp.Or(metadata.Issuer, metadata.AuthorizationEndpoint), 0, ErrNoRegistration, client)
	}
	if _, err := loopback.endpoint(metadata.RegistrationEndpoint); err != nil {
		return Registration{}, fail(stepRegister, metadata.RegistrationEndpoint, err)
	}
	methods := registrationMethods(metadata)
	if len(methods) == 0 {
		err := fmt.Errorf("%w: it knows none of the ways in which the sidecar can prove itself at the token endpoint", ErrBadAnswer)
		return Registration{}, fail(stepRegister, metadata.RegistrationEndpoint, err)
	}
	var first *Failure
	for _, method := range methods {
		registration, failure := c.registerAs(ctx, method, metadata, client)
		if failure == nil {
			return registration, nil
		}
		first = cmp.Or(first, failure)
		if failure.Status != http.StatusBadRequest {
			break
		}
	}
	return Registration{}, first
}

// registrationMethods are the ways of authentication to ask for, the best first: a public client, which PKCE protects and which has no secret to lose. An authorization server that says
// nothing supports AuthBasic at least (RFC 8414, section 2).
func registrationMethods(metadata Metadata) []string {
	if len(metadata.TokenAuthMethods) == 0 {
		return []string{AuthBasic, AuthNone, AuthPost}
	}
	return slices.DeleteFunc([]string{AuthNone, AuthBasic, AuthPost}, func(method string) bool { return !slices.Contains(metadata.TokenAuthMethods, method) })
}

// clientDocument is what a client says about itself (RFC 7591, section 2), in a registration request or, with its id, in a Client ID Metadata Document.
type clientDocument struct {
	ClientID        string   `json:"client_id,omitempty"`
	Name            string   `json:"client_name"`
	URI             string   `json:"client_uri,omitempty"`
	RedirectURIs    []string `json:"redirect_uris"`
	GrantTypes      []string `json:"grant_types"`
	ResponseTypes   []string `json:"response_types"`
	AuthMethod      string   `json:"token_endpoint_auth_method"`
	ApplicationType string   `json:"application_type"`
	Scope           string   `json:"scope,omitempty"`
}

func newClientDocument(name, uri, method string, redirects ...string) clientDocument {
	return clientDocument{
		Name: name, URI: uri, RedirectURIs: redirects, AuthMethod: method, ApplicationType: applicationType(redirects),
		GrantTypes: []string{"authorization_code", "refresh_token"}, ResponseTypes: []string{"code"},
	}
}

// applicationType is native for what is reached on loopback only: as a web client, OpenID Connect would not let it redirect there.
func applicationType(redirects []string) string {
	for _, redirect := range redirects {
		if u, err := url.Parse(redirect); err != nil || !onLoopback(u) {
			return "web"
		}
	}
	return "native"
}

// clientAnswer is the answer to a registration (RFC 7591, section 3.2.1), as far as it matters here.
type clientAnswer struct {
	ClientID      string         `json:"client_id"`
	ClientSecret  string         `json:"client_secret"`
	AuthMethod    string         `json:"token_endpoint_auth_method"`
	SecretExpires jsontext.Value `json:"client_secret_expires_at"`
}

func (c *Client) registerAs(ctx context.Context, method string, metadata Metadata, client ClientMetadata) (Registration, *Failure) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	where := metadata.RegistrationEndpoint
	request, err := registrationRequest(ctx, method, metadata, client)
	if err != nil {
		return Registration{}, fail(stepRegister, where, err)
	}
	response, err := c.do(request)
	if err != nil {
		return Registration{}, unreachable(stepRegister, where, err)
	}
	defer response.Body.Close()
	switch status := response.StatusCode; {
	case status == http.StatusOK || status == http.StatusCreated:
	case status == http.StatusTooManyRequests || status >= 500:
		return Registration{}, answered(stepRegister, where, status, fmt.Errorf("%w: it is an error, which may pass", ErrUnreachable))
	default:
		return Registration{}, unregistered(where, status, refusal(response), client)
	}
	var answer clientAnswer
	if failure := decode(stepRegister, where, response, &answer); failure != nil {
		return Registration{}, failure
	}
	registration, err := c.judgeAnswer(answer, method)
	if err != nil {
		return Registration{}, answered(stepRegister, where, response.StatusCode, err)
	}
	registration.Issuer, registration.RedirectURI = metadata.Issuer, client.RedirectURI
	return registration, nil
}

func registrationRequest(ctx context.Context, method string, metadata Metadata, client ClientMetadata) (*http.Request, error) {
	document := newClientDocument(client.Name, client.URI, method, client.RedirectURI)
	document.Scope = strings.Join(client.Scopes, " ")
	if len(metadata.GrantTypes) > 0 && !slices.Contains(metadata.GrantTypes, "refresh_token") {
		document.GrantTypes = []string{"authorization_code"} // what is not known there may be refused
	}
	body, err := json.Marshal(document)
	if err != nil {
		return nil, fmt.Errorf("%w: what the sidecar says of itself is no text", ErrBadInput)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, metadata.RegistrationEndpoint, bytes.NewReader(body))
	if err != nil {
		return nil, unacceptable("it cannot be read")
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	return request, nil
}

// refusalCodes are what an authorization server may say to a registration (RFC 7591, section 3.2.2), in our words. What else it says stays unread.
var refusalCodes = map[string]string{
	"invalid_redirect_uri":          "it does not accept the redirect URI",
	"invalid_client_metadata":       "it does not accept what the sidecar says of itself",
	"invalid_software_statement":    "it wants a software statement",
	"unapproved_software_statement": "it wants an approved software statement",
}

func refusal(response *http.Response) error {
	switch status := response.StatusCode; {
	case status >= 300 && status < 400:
		return fmt.Errorf("%w: it is a redirect, and redirects are not followed", ErrBadAnswer)
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed:
		return ErrNoRegistration
	case status < 400:
		return fmt.Errorf("%w: its status should be 201", ErrBadAnswer)
	}
	var answer struct {
		Error string `json:"error"`
	}
	if body, err := readBody(response); err == nil && json.Unmarshal(body, &answer) == nil && refusalCodes[answer.Error] != "" {
		return fmt.Errorf("%w: %s", ErrRefused, refusalCodes[answer.Error])
	}
	return ErrRefused
}

// unregistered is a failure whose remedy is to register by hand.
func unregistered(where string, status int, err error, client ClientMetadata) *Failure {
	failure := answered(stepRegister, where, status, err)
	if errors.Is(err, ErrNoRegistration) || errors.Is(err, ErrRefused) {
		failure.Remedy = "Register the sidecar there by hand, with the redirect URI " + client.RedirectURI + ", and set oauth2_client_id and, if you are given one, oauth2_client_secret."
	}
	return failure
}

// maxCredential bounds client ids and secrets.
const maxCredential = 1024

func notOfCredentials(r rune) bool { return r < ' ' || r > '~' }

// judgeAnswer reads what was registered. An authorization server may choose another way of authentication than was asked for, and may leave out that it took what was asked for. Without a
// secret there is only one way, and with that way no secret is needed: none is kept.
func (c *Client) judgeAnswer(answer clientAnswer, asked string) (Registration, error) {
	method := cmp.Or(answer.AuthMethod, asked)
	if answer.ClientSecret == "" {
		method = AuthNone
	}
	switch {
	case answer.ClientID == "":
		return Registration{}, fmt.Errorf("%w: it has no client_id", ErrBadAnswer)
	case len(answer.ClientID) > maxCredential || strings.ContainsFunc(answer.ClientID, notOfCredentials):
		return Registration{}, fmt.Errorf("%w: its client_id has characters that none may have, or too many", ErrBadAnswer)
	case len(answer.ClientSecret) > maxCredential || strings.ContainsFunc(answer.ClientSecret, notOfCredentials):
		return Registration{}, fmt.Errorf("%w: its client_secret has characters that none may have, or too many", ErrBadAnswer)
	case method == AuthNone:
		return Registration{ClientID: answer.ClientID, AuthMethod: AuthNone}, nil
	case method != AuthBasic && method != AuthPost:
		return Registration{}, fmt.Errorf("%w: its token_endpoint_auth_method is none that the sidecar knows", ErrBadAnswer)
	}
	expires, err := c.expiry(answer.SecretExpires)
	if err != nil {
		return Registration{}, err
	}
	return Registration{ClientID: answer.ClientID, ClientSecret: secret.New(answer.ClientSecret), AuthMethod: method, SecretExpires: expires}, nil
}

// expiry reads when a secret expires: zero or nothing is never.
func (c *Client) expiry(raw jsontext.Value) (time.Time, error) {
	var seconds float64
	if len(raw) > 0 && json.Unmarshal(raw, &seconds) != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("%w: its client_secret_expires_at is no time", ErrBadAnswer)
	}
	if seconds == 0 || seconds > maxExpiry {
		return time.Time{}, nil
	}
	expires := time.Unix(int64(seconds), 0).UTC()
	if !expires.After(c.now()) {
		return time.Time{}, fmt.Errorf("%w: its client_secret has expired already", ErrBadAnswer)
	}
	return expires, nil
}

// maxExpiry is the year 9999: what is later never comes.
const maxExpiry = 253402300799
