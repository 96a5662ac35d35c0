package simulate

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	klaviyoMaxProfiles = 10_000
	klaviyoMaxBytes    = 5_000_000
	klaviyoMaxProfile  = 100_000
	klaviyoBurst       = 10  // calls a second
	klaviyoSteady      = 150 // calls a minute
	klaviyoPath        = "/api/profile-bulk-import-jobs"
)

// klaviyo simulates bulk import jobs of profiles.
type klaviyo struct {
	*vendor
	timing timing
	jobs   *history[*klaviyoJob]
	count  int
	calls  []time.Time // of the last minute
}

type klaviyoJob struct {
	job
	id     string
	total  int
	errors []map[string]any // of profiles that the job refused
}

// NewKlaviyo makes a simulation of Klaviyo's POST /api/profile-bulk-import-jobs, GET of a job and
// of its import-errors. A request with a profile that nobody could import is refused as a whole,
// with a pointer to each of them; a profile whose phone_number is not in E.164 is refused by the
// job. Which checks the vendor makes when is not published; that there are both kinds is.
func NewKlaviyo(opts VendorOptions) *Backend {
	v := newVendor("klaviyo", opts, func(r *http.Request) string {
		key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Klaviyo-API-Key ")
		if !ok {
			return ""
		}
		return key
	}, func(w http.ResponseWriter, status int, message string) {
		writeKlaviyo(w, status, klaviyoError(status, message, "/data/"))
	})
	s := &klaviyo{vendor: v, timing: newTiming(v.PollsUntilDone, v.JobDuration, v.Now), jobs: newHistory[*klaviyoJob]()}
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request, []byte){
		"POST " + klaviyoPath:                        s.create,
		"GET " + klaviyoPath + "/{id}":               s.show,
		"GET " + klaviyoPath + "/{id}/import-errors": s.errors,
	} {
		v.on(pattern, klaviyoMaxBytes, func(w http.ResponseWriter, r *http.Request, body []byte) {
			if s.allowed(w, r) {
				answer(w, r, body)
			}
		})
	}
	return v.backend()
}

// allowed asks for a revision and counts calls.
func (s *klaviyo) allowed(w http.ResponseWriter, r *http.Request) bool {
	if _, err := time.Parse(time.DateOnly, r.Header.Get("revision")); err != nil {
		s.refuse(w, http.StatusBadRequest, "a valid revision header is required")
		return false
	}
	now, second := s.Now(), 0
	for len(s.calls) > 0 && now.Sub(s.calls[0]) >= time.Minute {
		s.calls = s.calls[1:]
	}
	for _, at := range s.calls {
		if now.Sub(at) < time.Second {
			second++
		}
	}
	if second >= klaviyoBurst || len(s.calls) >= klaviyoSteady {
		wait := time.Second
		if len(s.calls) >= klaviyoSteady {
			wait = time.Minute - now.Sub(s.calls[0])
		}
		w.Header().Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
		s.refuse(w, http.StatusTooManyRequests, "Request was throttled")
		return false
	}
	s.calls = append(s.calls, now)
	return true
}

func (s *klaviyo) create(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Data struct {
			Type       string `json:"type"`
			Attributes struct {
				Profiles struct {
					Data []json.RawMessage `json:"data"`
				} `json:"profiles"`
			} `json:"attributes"`
			Relationships struct {
				Lists struct {
					Data []struct{ Type, ID string } `json:"data"`
				} `json:"lists"`
			} `json:"relationships"`
		} `json:"data"`
	}
	kind := r.Header.Get("Content-Type")
	if kind != "application/vnd.api+json" && !strings.HasPrefix(kind, "application/json") {
		s.refuse(w, http.StatusUnsupportedMediaType, "unsupported media type "+kind)
		return
	}
	if !s.read(w, body, &in) {
		return
	}
	profiles := in.Data.Attributes.Profiles.Data
	var wrong []map[string]any
	invalid := func(detail, pointer string) {
		wrong = append(wrong, klaviyoError(http.StatusBadRequest, detail, pointer))
	}
	if in.Data.Type != "profile-bulk-import-job" {
		invalid("type must be profile-bulk-import-job", "/data/type")
	}
	if n := len(profiles); n < 1 || n > klaviyoMaxProfiles {
		invalid(fmt.Sprintf("profiles must hold 1 to %d items, got %d", klaviyoMaxProfiles, n), "/data/attributes/profiles/data")
	}
	if lists := in.Data.Relationships.Lists.Data; len(lists) > 1 {
		invalid("only one list is taken", "/data/relationships/lists/data")
	}
	j := &klaviyoJob{job: s.timing.start(), total: len(profiles)}
	for i, raw := range profiles {
		at := fmt.Sprintf("/data/attributes/profiles/data/%d", i)
		if detail, below := klaviyoProblem(raw); detail != "" {
			invalid(detail, at+below)
		} else if e := klaviyoRefusal(raw, at); e != nil {
			j.errors = append(j.errors, e)
		}
	}
	if wrong != nil {
		writeKlaviyo(w, http.StatusBadRequest, wrong...)
		return
	}
	s.count++
	j.id = fmt.Sprintf("job%06d", s.count)
	s.jobs.add(j.id, j)
	writeJSON(w, http.StatusAccepted, s.view(r, j, queued))
}

// find gives the job of a call; nil when it was refused.
func (s *klaviyo) find(w http.ResponseWriter, r *http.Request) *klaviyoJob {
	j, ok := s.jobs.get(r.PathValue("id"))
	if !ok {
		s.refuse(w, http.StatusNotFound, "A job with id "+r.PathValue("id")+" does not exist")
		return nil
	}
	return j
}

func (s *klaviyo) show(w http.ResponseWriter, r *http.Request, _ []byte) {
	if j := s.find(w, r); j != nil {
		writeJSON(w, http.StatusOK, s.view(r, j, s.timing.poll(&j.job)))
	}
}

func (s *klaviyo) view(r *http.Request, j *klaviyoJob, p phase) map[string]any {
	attributes := map[string]any{
		"status": map[phase]string{queued: "queued", running: "processing", finished: "complete"}[p], "created_at": timestamp(j.started),
		"total_count": j.total, "completed_count": 0, "failed_count": 0,
	}
	if p == finished {
		attributes["completed_count"], attributes["failed_count"], attributes["completed_at"] = j.total, len(j.errors), timestamp(j.ended)
	}
	return map[string]any{"data": map[string]any{
		"type": "profile-bulk-import-job", "id": j.id, "attributes": attributes,
		"links": map[string]string{"self": baseURL(r) + klaviyoPath + "/" + j.id},
	}}
}

// errors gives a page of what the job refused; before it is complete, there is nothing.
func (s *klaviyo) errors(w http.ResponseWriter, r *http.Request, _ []byte) {
	j := s.find(w, r)
	if j == nil {
		return
	}
	size, from := 20, 0
	for name, to := range map[string]*int{"page[size]": &size, "page[cursor]": &from} {
		if text := r.URL.Query().Get(name); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || name == "page[size]" && (n < 1 || n > 100) {
				s.refuse(w, http.StatusBadRequest, name+" is out of range")
				return
			}
			*to = n
		}
	}
	all := j.errors
	if !j.finished {
		all = nil
	}
	here := all[min(from, len(all)):min(from+size, len(all))]
	links := map[string]any{"self": baseURL(r) + r.URL.Path, "next": nil}
	if from+size < len(all) {
		links["next"] = fmt.Sprintf("%s%s?page%%5Bcursor%%5D=%d&page%%5Bsize%%5D=%d", baseURL(r), r.URL.Path, from+size, size)
	}
	writeJSON(w, http.StatusOK, map[string]any{"data": append([]map[string]any{}, here...), "links": links})
}
