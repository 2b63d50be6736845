package jobs_test

import (
	"slices"
	"testing"

	"b2c-runner/jobs"
)

func TestSecrets(t *testing.T) {
	j := jobs.Job{B2C: map[string][]string{
		"minio":    {"gateway,http://10.0.0.1:9000,access,s3cret"},
		"volume":   {"results,mirror=gateway/bucket,encrypt_key=k1", "cache,fscrypt_key=a2V5"},
		"hostname": {"rpi3"},
	}}
	if got, want := j.Secrets(), []string{"s3cret", "k1", "a2V5"}; !slices.Equal(got, want) {
		t.Errorf("secrets %q, want %q", got, want)
	}
}
