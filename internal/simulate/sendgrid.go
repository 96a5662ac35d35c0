package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	sendGridMaxContacts = 30000
	sendGridMaxBytes    = 6 << 20
	sendGridKnown       = 1 << 20 // addresses remembered to tell updated from created
)

// SendGridOptions shape a [NewSendGrid] backend; the zero value is usable.
type SendGridOptions struct {
	Name           string           // default "newsletter"
	Token          string           // the bearer token; "" accepts any that is not empty
	PollsUntilDone int              // the nth poll sees the job done; 0 goes by JobDuration
	JobDuration    time.Duration    // default 1.5 s
	Now            func() time.Time // default time.Now
	MaxContacts    int              // default 30000
	MaxBytes       int              // default 6 MB
}

// sendGrid simulates the contacts part of SendGrid's marketing API.
type sendGrid struct {
	opts   SendGridOptions
	timing timing

	mu    sync.Mutex
	jobs  *history[*sendGridJob]
	known map[string]bool // lower-cased e-mail addresses
	count int
}

// sendGridJob is one import; its counts are known from the start and told when it is finished.
type sendGridJob struct {
	job
	id, kind                    string
	waiting                     bool     // for the upload of its file
	columns                     []string // of the file: the IDs of fields, empty for those passed over
	requested, created, updated int
	errored                     []string // lower-cased addresses
}

// NewSendGrid makes a simulation of SendGrid's contact import: PUT /v3/marketing/contacts and, for CSV
// files, PUT /v3/marketing/contacts/imports with its upload, then GET
// /v3/marketing/contacts/imports/{id}. A contact without a valid e-mail address counts as errored; a
// job in which all did ends failed.
func NewSendGrid(opts SendGridOptions) *Backend {
	if opts.Name == "" {
		opts.Name = "newsletter"
	}
	if opts.MaxContacts <= 0 {
		opts.MaxContacts = sendGridMaxContacts
	}
	if opts.MaxBytes <= 0 {
		opts.MaxBytes = sendGridMaxBytes
	}
	s := &sendGrid{
		opts: opts, timing: newTiming(opts.PollsUntilDone, opts.JobDuration, opts.Now),
		jobs: newHistory[*sendGridJob](), known: map[string]bool{},
	}
	mux := http.NewServeMux()
	mux.Handle("PUT /v3/marketing/contacts", s.authorized(s.putContacts))
	mux.Handle("GET /v3/marketing/field_definitions", s.authorized(s.getFields))
	mux.Handle("PUT /v3/marketing/contacts/imports", s.authorized(s.putImport))
	mux.Handle("GET /v3/marketing/contacts/imports/{id}", s.authorized(s.getImport))
	mux.HandleFunc("PUT /uploads/{id}", s.putUpload)           // a storage URL: no credentials
	mux.HandleFunc("GET /uploads/{id}/errors", s.getErrorFile) // likewise
	b := newBackend(opts.Name, mux)
	b.tooLarge = func(w http.ResponseWriter, r *http.Request) { s.refuseSize(w) }
	return b
}

// authorized asks for the bearer token.
func (s *sendGrid) authorized(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || token == "" || (s.opts.Token != "" && token != s.opts.Token) {
			sendGridError(w, http.StatusUnauthorized, "authorization required", "", "")
			return
		}
		next(w, r)
	})
}

// sendGridError answers in the vendor's error shape.
func sendGridError(w http.ResponseWriter, status int, message, field, parameter string) {
	writeJSON(w, status, map[string]any{"errors": []map[string]string{{
		"message": message, "field": field, "error_id": fmt.Sprintf("E%d", status), "parameter": parameter,
	}}})
}

func (s *sendGrid) refuseSize(w http.ResponseWriter) {
	sendGridError(w, http.StatusRequestEntityTooLarge,
		fmt.Sprintf("request body exceeds %d bytes", s.opts.MaxBytes), "", "")
}

// putContacts takes contacts as JSON.
func (s *sendGrid) putContacts(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		sendGridError(w, http.StatusBadRequest, err.Error(), "", "")
		return
	}
	if len(body) > s.opts.MaxBytes {
		s.refuseSize(w)
		return
	}
	var in struct {
		ListIDs  []string         `json:"list_ids"`
		Contacts []map[string]any `json:"contacts"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		sendGridError(w, http.StatusBadRequest, "invalid JSON: "+err.Error(), "", "")
		return
	}
	if n := len(in.Contacts); n < 1 || n > s.opts.MaxContacts {
		sendGridError(w, http.StatusBadRequest,
			fmt.Sprintf("contacts must hold 1 to %d items, got %d", s.opts.MaxContacts, n), "contacts", "contacts")
		return
	}
	emails := make([]string, len(in.Contacts))
	for i, c := range in.Contacts {
		emails[i], _ = c["email"].(string)
	}
	s.mu.Lock()
	j := s.newJob("upsert_contacts")
	s.upsert(j, emails)
	s.mu.Unlock()
	writeJSON(w, http.StatusAccepted, map[string]string{"job_id": j.id})
}

// newJob makes a job; the lock is held.
func (s *sendGrid) newJob(kind string) *sendGridJob {
	s.count++
	j := &sendGridJob{job: s.timing.start(), id: fmt.Sprintf("job-%06d", s.count), kind: kind}
	s.jobs.add(j.id, j)
	return j
}

// upsert settles what becomes of each contact; the lock is held.
func (s *sendGrid) upsert(j *sendGridJob, emails []string) {
	j.requested = len(emails)
	if len(s.known) > sendGridKnown {
		clear(s.known)
	}
	for _, email := range emails {
		email = strings.ToLower(strings.TrimSpace(email))
		switch {
		case !validEmail(email):
			j.errored = append(j.errored, email)
		case s.known[email]:
			j.updated++
		default:
			s.known[email] = true
			j.created++
		}
	}
}

// validEmail is as strict as the simulators need: something on both sides of one @, no blanks.
func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && domain != "" && !strings.ContainsAny(domain, "@ ") && !strings.Contains(local, " ")
}

// getImport answers a poll.
func (s *sendGrid) getImport(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok {
		sendGridError(w, http.StatusNotFound, "import job not found", "id", "id")
		return
	}
	out := map[string]any{"id": j.id, "status": "pending", "job_type": j.kind, "started_at": timestamp(j.started)}
	results := map[string]any{"requested_count": j.requested}
	if !j.waiting && s.timing.poll(&j.job) == finished {
		results["created_count"], results["updated_count"] = j.created, j.updated
		results["deleted_count"], results["errored_count"] = 0, len(j.errored)
		if len(j.errored) > 0 {
			results["errors_url"] = baseURL(r) + "/uploads/" + j.id + "/errors"
		}
		out["status"], out["finished_at"] = j.outcome(), timestamp(j.ended)
	}
	out["results"] = results
	writeJSON(w, http.StatusOK, out)
}

// outcome is the final status: errored means some contacts, failed means all.
func (j *sendGridJob) outcome() string {
	switch len(j.errored) {
	case 0:
		return "completed"
	case j.requested:
		return "failed"
	}
	return "errored"
}

// timestamp is how the vendors write times.
func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
