package admin

import (
	"bytes"
	"crypto/rand"
	_ "embed"
	"html/template"
	"net/http"
	"strconv"
)

// page is what people see. Its words are ours, but for names that an admin chose.
type page struct {
	Title, Text string
	Asks        *asks     // a question before a sign-in
	Complete    *complete // a sign-in ended well
	Nonce       string    // of this answer
}

type asks struct {
	Server, Host, User string
	Minutes            int // that the link is still good
}

// complete is what the page that opened the window is told, if it is one of this origin.
type complete struct{ ServerID, Origin string }

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// showPage answers with a page, which is rendered whole before the first byte goes out.
//
// Nothing runs in it and nothing styles it but what carries the nonce, nobody can frame it, and no address of it reaches another site. A form's target is not restricted, because browsers would hold the
// provider that it leads to against it. A page with a form says in itself that our own origin may see where it is from: otherwise browsers would send the form without saying that it is from here.
func (a *API) showPage(w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Nonce = rand.Text()
	var body bytes.Buffer
	if err := pageTemplate.Execute(&body, p); err != nil {
		a.config.Logger.ErrorContext(r.Context(), "a page could not be made", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-"+p.Nonce+"'; style-src 'nonce-"+p.Nonce+"'; base-uri 'none'; frame-ancestors 'none'")
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	header.Set("Referrer-Policy", "no-referrer")
	w.WriteHeader(status)
	w.Write(body.Bytes()) // whoever asked may be gone
}

// failPage says in plain words why something did not work.
func (a *API) failPage(w http.ResponseWriter, r *http.Request, status int, failure Failure) {
	title := "That did not work"
	if status == http.StatusMethodNotAllowed || status == http.StatusNotFound {
		title = "There is nothing here"
	}
	a.showPage(w, r, status, page{Title: title, Text: failure.Message})
}
