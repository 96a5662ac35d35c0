package simulate

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	eloquaMaxFields  = 100
	eloquaMaxUpload  = 32 << 20
	eloquaMaxUploads = 500 // a sync
	eloquaMaxPage    = 1000
	eloquaAPI        = "/api/bulk/2.0"
)

// EloquaOptions shape a [NewEloqua] backend; the zero value is usable.
type EloquaOptions struct {
	Name string // default "marketing"
	// Company, User and Password are compared with Basic credentials of the form
	// Company\User:Password; each accepts anything that is not empty when it is "".
	Company, User, Password string
	PollsUntilDone          int              // the nth poll sees the sync done; 0 goes by JobDuration
	JobDuration             time.Duration    // default 1.5 s
	Now                     func() time.Time // default time.Now
	MaxUploadBytes          int              // default 32 MB; more is answered 404
	// EarlyCallback finishes each sync at once and calls its callbackUrl before POST /syncs is answered.
	EarlyCallback bool
	// Rejects judges one record (index from 0) when it is synced. The default refuses an invalid
	// C_EmailAddress (ELQ-00002) and warns of an empty or missing C_Company (ELQ-00040), the latter
	// only when the import's fields name C_Company. It is called with a lock held: it must not call
	// the backend.
	Rejects func(record map[string]any, index int) []Reject
	// Fails tells whether a sync of these records ends in error, importing none. The default says so
	// when nothing was uploaded. The same lock is held.
	Fails func(records []map[string]any) bool
}

// Reject is one entry of a sync's reject list. A record may have several; ELQ-00040 alone means that
// it was imported all the same.
type Reject struct {
	StatusCode    string
	Message       string
	InvalidFields []string
}

// eloqua simulates the contact imports of Eloqua's Bulk API 2.0.
type eloqua struct {
	opts    EloquaOptions
	timing  timing
	backend *Backend
	client  *http.Client // for callbacks

	mu      sync.Mutex
	imports *history[*eloquaImport]
	syncs   *history[*eloquaSync]
	count   int
}

// NewEloqua makes a simulation of Eloqua's Bulk API 2.0 for contacts: GET /id, then under
// /api/bulk/2.0 imports, their data, syncs, rejects and logs.
func NewEloqua(opts EloquaOptions) *Backend {
	if opts.Name == "" {
		opts.Name = "marketing"
	}
	if opts.MaxUploadBytes <= 0 {
		opts.MaxUploadBytes = eloquaMaxUpload
	}
	if opts.Fails == nil {
		opts.Fails = func(records []map[string]any) bool { return len(records) == 0 }
	}
	e := &eloqua{
		opts: opts, timing: newTiming(opts.PollsUntilDone, opts.JobDuration, opts.Now), client: newCallbackClient(),
		imports: newHistory[*eloquaImport](), syncs: newHistory[*eloquaSync](),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /id", e.discover)
	for pattern, handler := range map[string]http.HandlerFunc{
		"POST /contacts/imports":             e.createImport,
		"GET /contacts/imports/{id}":         e.getImport,
		"DELETE /contacts/imports/{id}":      e.deleteImport,
		"POST /contacts/imports/{id}/data":   e.upload,
		"DELETE /contacts/imports/{id}/data": e.deleteData,
		"POST /syncs":                        e.createSync,
		"GET /syncs":                         e.listSyncs,
		"GET /syncs/{id}":                    e.getSync,
		"GET /syncs/{id}/rejects":            e.getRejects,
		"GET /syncs/{id}/logs":               e.getLogs,
	} {
		method, path, _ := strings.Cut(pattern, " ")
		mux.Handle(method+" "+eloquaAPI+path, e.authorized(handler))
	}
	e.backend = newBackend(opts.Name, mux)
	e.backend.tooLarge = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }
	return e.backend
}

// knows compares the credentials.
func (e *eloqua) knows(r *http.Request) bool {
	login, password, ok := r.BasicAuth()
	company, user, composed := strings.Cut(login, `\`)
	return ok && composed && matches(company, e.opts.Company) && matches(user, e.opts.User) &&
		matches(password, e.opts.Password)
}

func matches(got, want string) bool { return got != "" && (want == "" || got == want) }

// discover tells where the API is. Bad credentials are answered 200, as the vendor does.
func (e *eloqua) discover(w http.ResponseWriter, r *http.Request) {
	if !e.knows(r) {
		writeJSON(w, http.StatusOK, "Not authenticated.")
		return
	}
	login, _, _ := r.BasicAuth()
	company, user, _ := strings.Cut(login, `\`)
	base := baseURL(r)
	writeJSON(w, http.StatusOK, map[string]any{
		"site": map[string]any{"id": 1, "name": company},
		"user": map[string]any{"id": 1, "username": user},
		"urls": map[string]any{
			"base": base,
			"apis": map[string]any{"rest": map[string]string{"bulk": base + "/API/Bulk/{version}/"}},
		},
	})
}

func (e *eloqua) authorized(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !e.knows(r) {
			w.Header().Set("WWW-Authenticate", `Basic realm="Eloqua"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// failure is one entry of the vendor's validation answer.
type failure struct {
	Field      string `json:"field"`
	Value      any    `json:"value,omitempty"`
	Constraint string `json:"constraint"`
}

func writeFailures(w http.ResponseWriter, status int, failures ...failure) {
	writeJSON(w, status, map[string]any{"failures": failures})
}

// page reads limit and offset; a wrong one is answered here.
func page(w http.ResponseWriter, r *http.Request) (limit, offset int, ok bool) {
	limit = eloquaMaxPage
	for name, to := range map[string]*int{"limit": &limit, "offset": &offset} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || (name == "limit" && (n < 1 || n > eloquaMaxPage)) {
			writeFailures(w, http.StatusBadRequest, failure{name, text,
				fmt.Sprintf("limit must be 1 to %d, offset 0 or more", eloquaMaxPage)})
			return 0, 0, false
		}
		*to = n
	}
	return limit, offset, true
}

// writePage answers with one page of the items.
func writePage[T any](w http.ResponseWriter, items []T, limit, offset int) {
	total := len(items)
	items = items[min(offset, total):min(offset+limit, total)]
	if items == nil {
		items = []T{} // [] and not null
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"items": items, "totalResults": total, "limit": limit, "offset": offset,
		"count": len(items), "hasMore": offset+len(items) < total,
	})
}
