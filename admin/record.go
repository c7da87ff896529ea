package admin

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"mcpsidecar/configstore"
	"mcpsidecar/internal/audit"
	"mcpsidecar/internal/front"
	"mcpsidecar/internal/secret"
)

// reloadGrace is how long a stored change may take to come into effect.
const reloadGrace = 10 * time.Second

// commit makes a change in the only order there is: it is put on record, written, and brought into effect before anybody is told that it holds.
// A change that was recorded and then not made is recorded as failed.
func (a *API) commit(ctx context.Context, req *request, change audit.Change, write func() error) error {
	change.RequestID = front.RequestID(ctx)
	change.TokenID, change.User = req.caller.TokenID, req.caller.User
	if err := a.config.Audit.Changed(change); err != nil {
		return &unrecordedError{err}
	}
	if err := write(); err != nil {
		change.Action += "_failed"
		a.config.Audit.Changed(change) // the answer says what happened, recorded or not
		err = fromStore(err)
		if unknown := (*storeError)(nil); errors.As(err, &unknown) {
			unknown.writing = true
		}
		return err
	}
	// What is stored must come into effect even if whoever asked has gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reloadGrace)
	defer cancel()
	if err := a.config.Reload(ctx); err != nil {
		return &notInEffectError{err}
	}
	return nil
}

// fromStore tells what the store is known to say from what it is not.
func fromStore(err error) error {
	if err == nil {
		return nil
	}
	if expected(err) {
		return err
	}
	return &storeError{cause: err}
}

// changedFields names what differs between two records of a server. Of a secret it names the field, as of everything.
func changedFields(before, after configstore.Server) (names []string) {
	was, is := settable(before), settable(after)
	for _, name := range slices.Sorted(maps.Keys(is)) {
		if !reflect.DeepEqual(was[name], is[name]) {
			names = append(names, name)
		}
	}
	return names
}

// settable is a record by the names of the fields that a request can set.
func settable(s configstore.Server) map[string]any {
	fields := map[string]any{
		"oauth2_client_secret": s.OAuth2ClientSecret.Reveal(),
		"api_key_value":        s.APIKeyValue.Reveal(),
		"custom_headers":       revealed(s.CustomHeaders),
	}
	shown := reflect.ValueOf(serverOf(s))
	for _, field := range reflect.VisibleFields(shown.Type()) {
		name := jsonName(field)
		if name != "" && !computed(name) {
			fields[name] = shown.FieldByIndex(field.Index).Interface()
		}
	}
	return fields
}

func computed(name string) bool {
	return name == "id" || name == "created_at" || name == "updated_at" || name == "auth_connected" || name == "connection" || strings.HasPrefix(name, "has_")
}

func revealed(headers map[string]secret.Value) map[string]string {
	texts := map[string]string{}
	for name, value := range headers {
		texts[name] = value.Reveal()
	}
	return texts
}
