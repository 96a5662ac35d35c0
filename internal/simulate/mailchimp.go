package simulate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	mailchimpMaxBytes   = 32 << 20 // the vendor's own is not published
	mailchimpMaxWaiting = 500      // batches
	mailchimpLinkFor    = 10 * time.Minute
)

// mailchimp simulates batches of operations on the members of audiences.
type mailchimp struct {
	*vendor
	timing  timing
	batches *history[*mailchimpBatch]
	members *history[map[string]any] // "audience e-mail"
	count   int
}

type mailchimpBatch struct {
	job
	id      string
	results []mailchimpResult
	errored int
}

// mailchimpResult is what came of one operation, as the results have it.
type mailchimpResult struct {
	StatusCode  int    `json:"status_code"`
	OperationID string `json:"operation_id"`
	Response    string `json:"response"` // JSON
}

type mailchimpOperation struct {
	Method      string `json:"method"`
	Path        string `json:"path"`
	Body        string `json:"body"` // JSON
	OperationID string `json:"operation_id"`
}

// NewMailchimp makes a simulation of Mailchimp's POST /3.0/batches and GET /3.0/batches/{id} for
// PUT /lists/{id}/members/{email}, and of the storage with the results: at another name of this
// host, where a signed URL is good for ten minutes and credentials are refused.
func NewMailchimp(opts VendorOptions) *Backend {
	v := newVendor("mailchimp", opts, password, func(w http.ResponseWriter, status int, message string) {
		writeJSON(w, status, mailchimpProblem(status, message))
	})
	s := &mailchimp{
		vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now),
		batches: newHistory[*mailchimpBatch](), members: newHistory[map[string]any](),
	}
	v.on("POST /3.0/batches", mailchimpMaxBytes, s.submit)
	v.on("GET /3.0/batches/{id}", 0, s.show)
	v.mux.HandleFunc("GET /results/{id}", s.download)
	return v.backend()
}

func mailchimpProblem(status int, detail string) map[string]any {
	title := map[int]string{http.StatusBadRequest: "Invalid Resource", http.StatusNotFound: "Resource Not Found", http.StatusUnauthorized: "API Key Invalid"}[status]
	if title == "" {
		title = http.StatusText(status)
	}
	return map[string]any{"type": "about:blank", "title": title, "status": status, "detail": detail, "instance": "simulated"}
}

func (s *mailchimp) submit(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Operations []mailchimpOperation `json:"operations"`
	}
	if !s.read(w, body, &in) {
		return
	}
	waiting := 0
	for _, b := range s.batches.items {
		if s.timing.phase(&b.job) != finished {
			waiting++
		}
	}
	switch {
	case len(in.Operations) == 0:
		s.refuse(w, http.StatusBadRequest, "operations must not be empty")
		return
	case waiting >= mailchimpMaxWaiting:
		s.refuse(w, http.StatusTooManyRequests, fmt.Sprintf("%d batches are waiting", waiting))
		return
	}
	s.count++
	b := &mailchimpBatch{job: s.timing.start(), id: fmt.Sprintf("batch%06d", s.count)}
	for _, op := range in.Operations {
		status, answer := s.perform(op)
		text, err := json.Marshal(answer)
		if err != nil {
			s.refuse(w, http.StatusInternalServerError, err.Error())
			return
		}
		if status >= http.StatusBadRequest {
			b.errored++
		}
		b.results = append(b.results, mailchimpResult{status, op.OperationID, string(text)})
	}
	s.batches.add(b.id, b)
	writeJSON(w, http.StatusOK, s.view(r, b, queued))
}

// perform does one operation and gives its answer.
func (s *mailchimp) perform(op mailchimpOperation) (int, map[string]any) {
	refused := func(status int, detail string) (int, map[string]any) { return status, mailchimpProblem(status, detail) }
	parts := strings.Split(op.Path, "/")
	if len(parts) != 5 || parts[1] != "lists" || parts[2] == "" || parts[3] != "members" {
		return refused(http.StatusNotFound, "The requested resource could not be found.")
	}
	email, err := url.PathUnescape(parts[4])
	var in map[string]any
	switch {
	case op.Method != http.MethodPut || email == "":
		return refused(http.StatusMethodNotAllowed, "The requested method and resource are not compatible.")
	case err != nil:
		return refused(http.StatusBadRequest, "The path cannot be read.")
	case json.Unmarshal([]byte(op.Body), &in) != nil:
		return refused(http.StatusBadRequest, "We encountered an unspecified JSON parsing error.")
	case !validEmail(textOf(in, "email_address")) || !strings.EqualFold(textOf(in, "email_address"), email):
		return refused(http.StatusBadRequest, "Please provide a valid email address.")
	}
	key := parts[2] + " " + strings.ToLower(email)
	if _, known := s.members.get(key); !known && textOf(in, "status_if_new") == "" {
		return refused(http.StatusBadRequest, "Your request did not include an expected resource: status_if_new.")
	}
	s.members.add(key, in)
	return http.StatusOK, map[string]any{"id": s.signature(key), "email_address": email, "list_id": parts[2]}
}

func (s *mailchimp) show(w http.ResponseWriter, r *http.Request, _ []byte) {
	b, ok := s.batches.get(r.PathValue("id"))
	if !ok {
		s.refuse(w, http.StatusNotFound, "The requested resource could not be found.")
		return
	}
	writeJSON(w, http.StatusOK, s.view(r, b, s.timing.poll(&b.job)))
}

func (s *mailchimp) view(r *http.Request, b *mailchimpBatch, p phase) map[string]any {
	out := map[string]any{
		"id": b.id, "status": map[phase]string{queued: "pending", running: "started", finished: "finished"}[p],
		"total_operations": len(b.results), "finished_operations": 0, "errored_operations": 0,
		"submitted_at": timestamp(b.started), "completed_at": "", "response_body_url": "",
	}
	if p == finished {
		until := fmt.Sprint(s.Now().Add(mailchimpLinkFor).Unix())
		out["finished_operations"], out["errored_operations"], out["completed_at"] = len(b.results), b.errored, timestamp(b.ended)
		out["response_body_url"] = strings.Replace(baseURL(r), "//127.0.0.1", "//localhost", 1) + "/results/" + b.id +
			"?Expires=" + until + "&Signature=" + s.signature(b.id+until)
	}
	return out
}

// signature stands for that of the storage.
func (s *mailchimp) signature(text string) string {
	sum := sha256.Sum256([]byte(s.Name + "\n" + text))
	return hex.EncodeToString(sum[:16])
}
