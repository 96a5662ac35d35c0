package simulate

import (
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
)

// eloquaSync is one sync; what it will say is known from its start and told when it is finished.
type eloquaSync struct {
	job
	uri, imported string
	callback      string // "" when none, or once it was called
	outcome       string
	rejects       []eloquaReject
	logs          []eloquaLog
}

// eloquaReject is a [Reject] as the vendor shows it.
type eloquaReject struct {
	FieldValues   map[string]string `json:"fieldValues"`
	Message       string            `json:"message"`
	StatusCode    string            `json:"statusCode"`
	RecordIndex   int               `json:"recordIndex"` // from 1, over all uploads of the sync
	InvalidFields []string          `json:"invalidFields"`
}

// eloquaLog is one line of a sync's log.
type eloquaLog struct {
	SyncURI    string `json:"syncUri"`
	Severity   string `json:"severity"`
	StatusCode string `json:"statusCode"`
	Message    string `json:"message"`
	Count      int    `json:"count"`
}

// createSync starts a sync of what is staged.
func (e *eloqua) createSync(w http.ResponseWriter, r *http.Request) {
	var in struct {
		URI      string `json:"syncedInstanceUri"`
		Callback string `json:"callbackUrl"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		writeFailures(w, http.StatusBadRequest, failure{"", nil, "must be a JSON object: " + err.Error()})
		return
	}
	if in.Callback != "" {
		u, err := url.Parse(in.Callback)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			writeFailures(w, http.StatusBadRequest, failure{"callbackUrl", in.Callback, "must be an absolute http URL"})
			return
		}
	}
	s, answer := e.startSync(w, in.URI, in.Callback)
	if s == nil {
		return
	}
	if e.opts.EarlyCallback {
		e.settle(s)
	}
	writeJSON(w, http.StatusCreated, answer)
	if !e.opts.EarlyCallback && in.Callback != "" && e.timing.polls <= 0 {
		e.watch(s)
	}
}

// startSync makes the sync and its first answer, or says why not.
func (e *eloqua) startSync(w http.ResponseWriter, uri, callback string) (*eloquaSync, map[string]any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d, ok := e.imports.get(path.Base(uri))
	if !ok || d.uri != uri {
		writeFailures(w, http.StatusBadRequest, failure{"syncedInstanceUri", uri, "must be a reference to an existing object"})
		return nil, nil
	}
	if e.syncing(d) {
		writeFailures(w, http.StatusConflict, failure{"syncedInstanceUri", uri, "a sync of it is active"})
		return nil, nil
	}
	id := e.newID()
	s := &eloquaSync{job: e.timing.start(), uri: "/syncs/" + id, imported: uri, callback: callback}
	e.judge(s, d)
	d.unstage()
	d.active = s
	e.syncs.add(id, s)
	return s, e.show(s, queued)
}

// syncing tells whether a sync of the definition is active; the lock is held.
func (e *eloqua) syncing(d *eloquaImport) bool {
	return d.active != nil && e.timing.phase(&d.active.job) != finished
}

// show is the sync's representation in a phase.
func (e *eloqua) show(s *eloquaSync, p phase) map[string]any {
	out := map[string]any{
		"uri": s.uri, "syncedInstanceUri": s.imported, "status": "pending",
		"createdAt": timestamp(s.started), "createdBy": "simulator",
	}
	switch p {
	case queued: // as it is above
	case running:
		out["status"], out["syncStartedAt"] = "active", timestamp(s.started)
	case finished:
		out["status"], out["syncStartedAt"], out["syncEndedAt"] = s.outcome, timestamp(s.started), timestamp(s.ended)
	}
	return out
}

// listSyncs gives all syncs, the newest first when it is asked for that.
func (e *eloqua) listSyncs(w http.ResponseWriter, r *http.Request) {
	limit, offset, ok := page(w, r)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	items := []map[string]any{}
	for _, id := range e.syncs.order {
		if s, there := e.syncs.get(id); there {
			items = append(items, e.show(s, e.timing.phase(&s.job)))
		}
	}
	if r.URL.Query().Get("orderBy") == "createdAt DESC" {
		slices.Reverse(items)
	}
	writePage(w, items, limit, offset)
}

// getSync answers a poll.
func (e *eloqua) getSync(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	s, ok := e.syncs.get(r.PathValue("id"))
	var answer map[string]any
	if ok {
		answer = e.show(s, e.timing.poll(&s.job))
	}
	e.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	writeJSON(w, http.StatusOK, answer)
	if e.timing.polls > 0 {
		e.notify(s) // by polls, this one may have finished it; by time, watch tells
	}
}

// getRejects answers a page of the rejects; there are none before the sync is finished.
func (e *eloqua) getRejects(w http.ResponseWriter, r *http.Request) {
	servePage(e, w, r, func(s *eloquaSync) []eloquaReject { return s.rejects })
}

// getLogs answers a page of the log; there is none before the sync is finished.
func (e *eloqua) getLogs(w http.ResponseWriter, r *http.Request) {
	servePage(e, w, r, func(s *eloquaSync) []eloquaLog { return s.logs })
}

func servePage[T any](e *eloqua, w http.ResponseWriter, r *http.Request, of func(*eloquaSync) []T) {
	limit, offset, ok := page(w, r)
	if !ok {
		return
	}
	e.mu.Lock()
	s, ok := e.syncs.get(r.PathValue("id"))
	var items []T
	if ok && e.timing.phase(&s.job) == finished {
		items = of(s) // never changed after the start
	}
	e.mu.Unlock()
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	writePage(w, items, limit, offset)
}
