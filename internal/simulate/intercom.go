package simulate

import (
	"fmt"
	"net/http"
)

const (
	intercomMaxContacts = 100
	intercomMaxBytes    = 20 << 20
)

// intercom simulates the bulk creation of contacts. It never changes a contact that it knows.
type intercom struct {
	*vendor
	timing timing
	jobs   *history[*intercomJob]
	known  *history[bool] // external_id and email
	count  int
}

type intercomJob struct {
	job
	id     string
	items  int
	failed bool // a contact was refused; which one is not told
}

// NewIntercom makes a simulation of Intercom's POST /contacts/bulk and GET /contacts/bulk/{id},
// version Preview: at most 100 contacts, each new. A job in which one was refused ends
// completed_with_errors.
func NewIntercom(opts VendorOptions) *Backend {
	v := newVendor("intercom", opts, bearer, intercomRefuse)
	s := &intercom{
		vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now),
		jobs: newHistory[*intercomJob](), known: newHistory[bool](),
	}
	v.on("POST /contacts/bulk", intercomMaxBytes, s.create)
	v.on("GET /contacts/bulk/{id}", 0, s.show)
	return v.backend()
}

func intercomRefuse(w http.ResponseWriter, status int, message string) {
	code := map[int]string{
		http.StatusUnauthorized: "unauthorized", http.StatusNotFound: "job_not_found", http.StatusUnprocessableEntity: "parameter_invalid",
	}[status]
	writeJSON(w, status, map[string]any{"type": "error.list", "errors": []map[string]string{{"code": code, "message": message}}})
}

// preview asks for the version that has these calls.
func (s *intercom) preview(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Intercom-Version") == "Preview" {
		return true
	}
	s.refuse(w, http.StatusNotFound, "The requested resource was not found in this version")
	return false
}

func (s *intercom) create(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Contacts []map[string]any `json:"contacts"`
	}
	if !s.preview(w, r) || !s.read(w, body, &in) {
		return
	}
	if n := len(in.Contacts); n < 1 || n > intercomMaxContacts {
		s.refuse(w, http.StatusUnprocessableEntity, fmt.Sprintf("maximum number of contacts per request is %d, got %d", intercomMaxContacts, n))
		return
	}
	s.count++
	j := &intercomJob{job: s.timing.start(), id: fmt.Sprintf("job_v2_%d", s.count), items: len(in.Contacts)}
	for _, c := range in.Contacts {
		j.failed = !s.add(c) || j.failed
	}
	s.jobs.add(j.id, j)
	writeJSON(w, http.StatusAccepted, s.view(r, j, queued))
}

// add makes a contact; false when it is known, or says nobody.
func (s *intercom) add(contact map[string]any) bool {
	var names []string
	for _, field := range []string{"external_id", "email"} {
		if value := textOf(contact, field); value != "" {
			names = append(names, field+" "+value)
		}
	}
	for _, name := range names {
		if _, known := s.known.get(name); known {
			return false
		}
	}
	for _, name := range names {
		s.known.add(name, true)
	}
	return len(names) > 0
}

func (s *intercom) show(w http.ResponseWriter, r *http.Request, _ []byte) {
	if !s.preview(w, r) {
		return
	}
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok {
		s.refuse(w, http.StatusNotFound, "job "+r.PathValue("id")+" not found")
		return
	}
	writeJSON(w, http.StatusOK, s.view(r, j, s.timing.poll(&j.job)))
}

func (s *intercom) view(r *http.Request, j *intercomJob, p phase) map[string]any {
	state := map[phase]string{queued: "pending", running: "running", finished: "completed"}[p]
	if p == finished && j.failed {
		state = "completed_with_errors"
	}
	return map[string]any{
		"id": j.id, "type": "contacts.bulk.job", "state": state, "created_at": j.started.Unix(),
		"tasks": []map[string]any{{"id": "task_" + j.id, "item_count": j.items, "state": state}},
		"url":   baseURL(r) + "/contacts/bulk/" + j.id,
	}
}
