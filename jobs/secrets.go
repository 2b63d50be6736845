package jobs

import "strings"

// secretKeys are the keys of b2c.volume whose values are secrets.
var secretKeys = []string{"encrypt_key", "fscrypt_key"}

// Secrets are the texts of the job that no log may show. boot2container traces its
// commands, credentials included, and the kernel prints its command line.
func (j *Job) Secrets() []string {
	var secrets []string
	for _, minio := range j.B2C["minio"] { // ALIAS,URL,ACCESS,SECRET
		if fields := strings.Split(minio, ","); len(fields) >= 4 {
			secrets = append(secrets, strings.Join(fields[3:], ","))
		}
	}
	for _, volume := range j.B2C["volume"] {
		for field := range strings.SplitSeq(volume, ",") {
			for _, key := range secretKeys {
				if value, ok := strings.CutPrefix(field, key+"="); ok && value != "" {
					secrets = append(secrets, value)
				}
			}
		}
	}
	return secrets
}
