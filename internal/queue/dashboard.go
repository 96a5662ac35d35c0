package queue

import (
	"net/http"
	"strings"

	"github.com/hibiken/asynqmon"
	"github.com/redis/go-redis/v9"
)

// dashboardPool is enough for one page's requests.
const dashboardPool = 4

// connection makes clients for Asynqmon, which closes what it is given.
type connection struct {
	connect func(poolSize int) redis.UniversalClient
}

// MakeRedisClient implements asynq.RedisConnOpt.
func (c connection) MakeRedisClient() interface{} { return c.connect(dashboardPool) }

// DashboardOptions of Dashboard.
type DashboardOptions struct {
	// Connect makes clients of the dashboard's own.
	Connect func(poolSize int) redis.UniversalClient
	// RootPath is what it is served below, such as /asynqmon.
	RootPath string
	// Write lets tasks be deleted, archived and run, and queues be paused. What is done
	// there to a task the reconciler makes good: the record is the truth.
	Write bool
	// Prometheus is the URL of the server that its charts ask; without it there are none.
	Prometheus string
}

// Dashboard serves Asynqmon. closeFunc closes its clients.
func Dashboard(o DashboardOptions) (handler http.Handler, closeFunc func() error) {
	h := asynqmon.New(asynqmon.Options{
		RootPath:          o.RootPath,
		RedisConnOpt:      connection{o.Connect},
		ReadOnly:          !o.Write,
		PrometheusAddress: o.Prometheus,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(string, []byte) string {
			return "The task's ID names its delivery: <tracking>:<target>:<seq>."
		}),
	})
	if o.Prometheus == "" {
		return h, h.Close
	}
	charts := newCharts(o.Prometheus)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == strings.TrimSuffix(o.RootPath, "/")+"/api/metrics" {
			charts.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	}), h.Close
}
