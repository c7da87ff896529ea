package discovery

import "errors"

// What can go wrong, for errors.Is on a *Failure.
var (
	ErrNoOAuth        = errors.New("the server does not ask for a sign-in by OAuth")
	ErrBadInput       = errors.New("the configuration is incomplete or not valid")
	ErrUnreachable    = errors.New("there was no answer")
	ErrBadAnswer      = errors.New("the answer is not what the specification asks for")
	ErrNotFound       = errors.New("there is no such document")
	ErrResource       = errors.New("the metadata is for another resource")
	ErrIssuer         = errors.New("the issuer does not match")
	ErrNoPKCE         = errors.New("the authorization server does not support PKCE with S256")
	ErrURL            = errors.New("the URL is not acceptable")
	ErrNoRegistration = errors.New("the authorization server does not register clients by itself")
	ErrRefused        = errors.New("the authorization server refused the registration")
)

// Failure says which step failed, where, and what an admin can do about it. Its text can be shown to admins as it is: it has nothing of an answer's body and no URL's query or userinfo.
type Failure struct {
	Step   string // continues "while": "reading protected resource metadata"
	URL    string // where, without userinfo, query and fragment; may be empty
	Status int    // of the answer; zero: there was none, or it is not what failed
	Err    error  // one of the errors above, or wraps one
	Remedy string // a sentence; never empty
}

// Error is the whole sentence.
func (f *Failure) Error() string { panic("unbuilt") }

// Unwrap returns Err.
func (f *Failure) Unwrap() error { return f.Err }
