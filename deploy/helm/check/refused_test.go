package check

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadValuesAreRefused: the message names the value.
func TestBadValuesAreRefused(t *testing.T) {
	minimal := sets(t)["minimal"]
	for name, tt := range map[string]struct {
		set  []string // as `--set`
		says []string
	}{
		// By the schema.
		"unknown value":              {[]string{"gatway.replicas=3"}, []string{"gatway"}},
		"unknown value of a group":   {[]string{"gateway.replica=3"}, []string{"/gateway", "replica"}},
		"words for a number":         {[]string{"gateway.replicas=two"}, []string{"/gateway/replicas", "integer"}},
		"a negative number":          {[]string{"worker.replicas=-1"}, []string{"/worker/replicas", "minimum"}},
		"a port out of range":        {[]string{"service.port=70000"}, []string{"/service/port", "maximum"}},
		"the clients' port":          {[]string{"admin.port=8080"}, []string{"/admin/port"}},
		"an unknown kind":            {[]string{"service.type=Headless"}, []string{"/service/type", "ClusterIP"}},
		"no image":                   {[]string{"image.repository="}, []string{"/image/repository"}},
		"a tag in the repository":    {[]string{"image.repository=registry.example.com:5000/headgate:1.2"}, []string{"/image/repository"}},
		"a variable's number":        {[]string{"extraEnv[0].name=A", "extraEnv[0].value=1"}, []string{"/extraEnv/0/value", "string"}},
		"a version as tag":           {[]string{"image.tag=1.2.3+4"}, []string{"/image/tag"}},
		"a tag as digest":            {[]string{"image.digest=latest"}, []string{"/image/digest"}},
		"a Secret's bad name":        {[]string{"existingSecret=My Secret"}, []string{"/existingSecret"}},
		"a key of config misspelt":   {[]string{"config.limits.shutdwon=5s"}, []string{"/config/limits", "shutdwon"}},
		"a wrong duration in config": {[]string{"config.tracking.retention=long"}, []string{"/config/tracking/retention"}},
		"a password in clear":        {[]string{"config.redis.password=hunter2"}, []string{"/config/redis/password"}},
		"a route file's name":        {[]string{`routes.orders\.json=x`}, []string{"/routes", "orders.json"}},
		"a route file in a folder":   {[]string{`routes.a/b\.yaml=x`}, []string{"/routes", "a/b.yaml"}},
		"a secret file without name": {[]string{"secretFiles[0].name=crm"}, []string{"/secretFiles/0", "secret"}},
		"some other variable":        {[]string{"otel.DEBUG=1"}, []string{"/otel", "DEBUG"}},
		"no worker at all by KEDA":   {[]string{"worker.keda.minReplicas=0"}, []string{"/worker/keda/minReplicas"}},
		"gateways by KEDA":           {[]string{"gateway.keda.enabled=true"}, []string{"/gateway", "keda"}},

		// By the templates: what the schema cannot say.
		"the chart's own key":     {[]string{"config.listen=:80"}, []string{"config.listen", "leave it out"}},
		"the chart's own address": {[]string{"config.admin.listen=:80"}, []string{"config.admin.listen", "admin.port"}},
		"no routes":               {[]string{"routes=null"}, []string{"there are no routes", "existingRoutesConfigMaps"}},
		"an embedded Redis":       {[]string{"config.redis.url=embedded"}, []string{"config.redis.url", "share"}},
		"too little time to end":  {[]string{"terminationGracePeriodSeconds=30"}, []string{"terminationGracePeriodSeconds is 30", "60"}},
		"an unknown time to end":  {[]string{"config.limits.shutdown=${T}"}, []string{"config.limits.shutdown"}},
		"two autoscalers":         {[]string{"worker.keda.enabled=true", "worker.autoscaling.enabled=true"}, []string{"worker.autoscaling and worker.keda"}},
		"CPU of nothing":          {[]string{"gateway.autoscaling.enabled=true", "gateway.resources.requests.cpu=null"}, []string{"gateway.resources.requests.cpu"}},
		"bounds crossed":          {[]string{"gateway.autoscaling.enabled=true", "gateway.autoscaling.minReplicas=11"}, []string{"gateway.autoscaling.minReplicas is 11"}},
		"scraped twice":           {[]string{"metrics.podMonitor.enabled=true", "metrics.serviceMonitor.enabled=true"}, []string{"metrics.serviceMonitor and metrics.podMonitor"}},
		"a monitor of nothing":    {[]string{"metrics.serviceMonitor.enabled=true", "admin.service.enabled=false"}, []string{"admin.service.enabled"}},
		"a route to no Gateway":   {[]string{"httpRoute.enabled=true"}, []string{"httpRoute.parentRefs"}},
		"half a certificate":      {[]string{"redisTLS.existingSecret=tls", "redisTLS.cert=tls.crt"}, []string{"redisTLS.cert and redisTLS.key"}},
		"two authorities":         {[]string{"redisTLS.existingSecret=tls", "config.redis.tls.ca=/x"}, []string{"config.redis.tls.ca and redisTLS.ca"}},
		"two secrets at a place":  {[]string{"secretFiles[0].secret=a", "secretFiles[1].secret=b", "secretFiles[1].name=a"}, []string{"secretFiles: a is there twice"}},
		"a password in the URL":   {[]string{"config.redis.url=redis://:hunter2@redis:6379/0"}, []string{"config.redis.url", "config.redis.password"}},
		"a name of no Service":    {[]string{"fullnameOverride=1st"}, []string{`"1st"`, "fullnameOverride"}},
		"the token in clear":      {[]string{"extraEnv[0].name=HEADGATE_ADMIN_TOKEN", "extraEnv[0].value=x"}, []string{"extraEnv", "HEADGATE_ADMIN_TOKEN", "admin.tokenSecret"}},
		"a variable twice":        {[]string{"extraEnv[0].name=OTEL_SDK_DISABLED", "otel.OTEL_SDK_DISABLED=x"}, []string{"extraEnv", "OTEL_SDK_DISABLED"}},
		"an unknown port":         {[]string{"networkPolicy.enabled=true", "config.redis.url=${REDIS_URL}"}, []string{"networkPolicy.egress.redis.ports"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := []string{"--values", minimal}
			for _, set := range tt.set {
				args = append(args, "--set", set)
			}
			_, err := template(args...)
			if err == nil {
				t.Fatalf("%v is accepted", tt.set)
			}
			for _, text := range tt.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("the message does not say %q: %v", text, err)
				}
			}
		})
	}
}

// TestRoutesHaveRoom: what the API server would refuse half-way through an upgrade is refused before.
func TestRoutesHaveRoom(t *testing.T) {
	for size, fits := range map[int]bool{1<<20 - 2048: true, 1<<20 + 1: false} {
		file := filepath.Join(t.TempDir(), "routes.yaml")
		must(t, os.WriteFile(file, bytes.Repeat([]byte("#"), size), 0o600))
		_, err := template("--values", sets(t)["minimal"], "--set-file", `routes.large\.yaml=`+file)
		if fits != (err == nil) {
			t.Errorf("%d bytes of routes: %v", size, err)
		}
		if !fits && err != nil && (!strings.Contains(err.Error(), "routes") || !strings.Contains(err.Error(), "existingRoutesConfigMaps")) {
			t.Errorf("the message does not say what to do: %v", err)
		}
	}
}

// TestGoodValues are at the edge of what is refused.
func TestGoodValues(t *testing.T) {
	for _, set := range []string{
		"terminationGracePeriodSeconds=60", "config.limits.shutdown=1m500ms", "config.limits.shutdown=0",
		"podSecurityContext.runAsUser=null", "config.redis.url=redis://user@[::1]/0", "config.redis.url=unix:///run/redis.sock",
		"routes=null,existingRoutesConfigMaps[0].name=team", "worker.replicas=0", "admin.service.enabled=false",
		"config.limits=null", "preStopSleepSeconds=0", "config.redis.url=redis://user@redis:6379/0", "image.tag=v1.2.3_rc.1",
		"extraEnv[0].name=LANG", "image.repository=registry.example.com:5000/team/headgate", "probes.startup=null,probes.liveness=null",
	} {
		t.Run(set, func(t *testing.T) {
			t.Parallel()
			if _, err := template("--values", sets(t)["minimal"], "--set", set, "--set", "networkPolicy.enabled=true"); err != nil {
				t.Error(err)
			}
		})
	}
}
