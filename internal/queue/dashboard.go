package queue

import (
	"net/http"

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

// Dashboard serves Asynqmon below rootPath, for looking only. It makes clients of its own
// by connect; closeFunc closes them.
func Dashboard(connect func(poolSize int) redis.UniversalClient, rootPath string) (handler http.Handler, closeFunc func() error) {
	h := asynqmon.New(asynqmon.Options{
		RootPath:     rootPath,
		RedisConnOpt: connection{connect},
		ReadOnly:     true,
		PayloadFormatter: asynqmon.PayloadFormatterFunc(func(string, []byte) string {
			return "The task's ID names its delivery: <tracking>:<target>:<seq>."
		}),
	})
	return h, h.Close
}
