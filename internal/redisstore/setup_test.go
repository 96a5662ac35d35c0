package redisstore

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"headgate/config/secret"
	"headgate/config/yamlsrc"
	"headgate/dispatch/target"
	"headgate/internal/testenv"
)

// What a setup has found is found once for all workers, and nobody else can read it.
func TestWorkersShareASetup(t *testing.T) {
	var asked, sent atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/id":
			_, _ = fmt.Fprintf(w, `{"list": "planted-list-%d"}`, asked.Add(1))
		case fmt.Sprintf("/planted-list-%d", asked.Load()):
			sent.Add(1)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("CRM_SECRET", plantedSecret)
	var report yamlsrc.Report
	n := yamlsrc.Parse("t.yaml", []byte("url: "+server.URL+`
auth: {bearer: {env: CRM_SECRET}}
setup: [{name: lists, get: /id, save: {list: "${{ .response.body.list }}"}}]
post: /${{ .setup.list }}
on_error: [{when: "${{ .response.status == 404 }}", then: setup}]
`), &report)
	p := target.Compile("crm", n, secret.Access{Env: []string{"CRM_*"}}, &report)
	must(t, report.Err())
	rdb := testenv.Redis(t).Client(t)
	workers := []*target.Engine{worker(t, NewTokens(rdb)), worker(t, NewTokens(rdb))}
	var all sync.WaitGroup
	for range 10 {
		for _, w := range workers {
			all.Go(func() { concluded(t, send(t, w, p)) })
		}
	}
	all.Wait()
	if asked.Load() != 1 || sent.Load() != 20 {
		t.Errorf("asked %d times, sent %d", asked.Load(), sent.Load())
	}
	sealedOnly(t, rdb, 1)

	// The list is another one from now on: who notices drops the value for all.
	asked.Add(1)
	send(t, workers[0], p)
	concluded(t, send(t, workers[0], p))
	send(t, workers[1], p)
	concluded(t, send(t, workers[1], p))
	concluded(t, send(t, worker(t, NewTokens(rdb)), p)) // a worker that starts now
	if asked.Load() != 3 {
		t.Errorf("asked %d times, want one more", asked.Load()-1)
	}
	sealedOnly(t, rdb, 1)
}
