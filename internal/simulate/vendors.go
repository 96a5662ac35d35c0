package simulate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// VendorOptions shape the backends of [Vendors]; the zero value is usable.
type VendorOptions struct {
	Name           string           // default: the name of the vendor's recipe
	Secret         string           // what callers show; "" accepts any that is not empty
	PollsUntilDone int              // the nth poll sees a job done; 0 goes by JobDuration
	JobDuration    time.Duration    // default 1.5 s
	TokenCalls     int              // how often an access token is good; 0 goes by its life
	Now            func() time.Time // default time.Now
}

// Vendors is one backend for each recipe, named like it; those of Eloqua and SendGrid are the
// ones of [Quickstart], under names of their own.
func Vendors() []*Backend {
	return []*Backend{
		NewBraze(VendorOptions{}), NewCustomerIO(VendorOptions{}), NewCustomerIOImports(VendorOptions{}), NewElasticsearch(VendorOptions{}),
		NewEloqua(EloquaOptions{Name: "eloqua"}), NewHubSpot(VendorOptions{}), NewIntercom(VendorOptions{}), NewIterable(VendorOptions{}),
		NewKlaviyo(VendorOptions{}), NewMailchimp(VendorOptions{}), NewMarketo(VendorOptions{}), NewPagerDuty(VendorOptions{}), NewS3(VendorOptions{}),
		NewSalesforce(VendorOptions{}), NewSendGrid(SendGridOptions{Name: "sendgrid"}), NewSendGrid(SendGridOptions{Name: "sendgrid-csv"}), NewSlack(VendorOptions{}),
		NewWebhook(VendorOptions{}),
	}
}

// vendor is what the simulators of [Vendors] share: who may call, how large a body may be and
// what a refusal looks like.
type vendor struct {
	VendorOptions
	mux        *http.ServeMux
	credential func(*http.Request) string
	refuse     func(w http.ResponseWriter, status int, message string)
	mu         sync.Mutex // held while a call is answered
}

func newVendor(name string, o VendorOptions, credential func(*http.Request) string, refuse func(http.ResponseWriter, int, string)) *vendor {
	o.Name = cmp.Or(o.Name, name)
	if o.Now == nil {
		o.Now = time.Now
	}
	return &vendor{VendorOptions: o, mux: http.NewServeMux(), credential: credential, refuse: refuse}
}

// on answers calls that show the secret and whose body has at most maxBytes.
func (v *vendor) on(pattern string, maxBytes int, answer func(w http.ResponseWriter, r *http.Request, body []byte)) {
	v.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if shown := v.credential(r); shown == "" || v.Secret != "" && shown != v.Secret {
			v.refuse(w, http.StatusUnauthorized, "invalid credentials")
			return
		}
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			v.refuse(w, http.StatusBadRequest, err.Error())
		case len(body) > maxBytes:
			v.refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", maxBytes))
		default:
			v.mu.Lock()
			defer v.mu.Unlock()
			answer(w, r, body)
		}
	})
}

// read decodes a JSON body; false when it was refused.
func (v *vendor) read(w http.ResponseWriter, body []byte, into any) bool {
	if err := json.Unmarshal(body, into); err != nil {
		v.refuse(w, http.StatusBadRequest, "malformed JSON: "+err.Error())
		return false
	}
	return true
}

func (v *vendor) backend() *Backend {
	b := newBackend(v.Name, v.mux)
	b.tooLarge = func(w http.ResponseWriter, _ *http.Request) {
		v.refuse(w, http.StatusRequestEntityTooLarge, "the body is too large")
	}
	return b
}

func bearer(r *http.Request) string {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	return token
}

// password gives that of a call with a user.
func password(r *http.Request) string {
	user, password, _ := r.BasicAuth()
	if user == "" {
		return ""
	}
	return password
}

func headerOf(name string) func(*http.Request) string {
	return func(r *http.Request) string { return r.Header.Get(name) }
}

// textOf gives a field that is a text; empty when it is none.
func textOf(object map[string]any, name string) string {
	s, _ := object[name].(string)
	return s
}
