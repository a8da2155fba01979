/** The SSH algorithms that `ciphers`, `kex_algos` and `mac_algos` choose among, best first; these are the defaults too. */
export const ciphers = [
  "aes128-gcm@openssh.com",
  "aes256-gcm@openssh.com",
  "chacha20-poly1305@openssh.com",
  "aes128-ctr",
  "aes192-ctr",
  "aes256-ctr",
];
export const kexAlgorithms = [
  "mlkem768x25519-sha256",
  "curve25519-sha256",
  "curve25519-sha256@libssh.org",
  "ecdh-sha2-nistp256",
  "ecdh-sha2-nistp384",
  "ecdh-sha2-nistp521",
];
export const macAlgorithms = [
  "hmac-sha2-256-etm@openssh.com",
  "hmac-sha2-512-etm@openssh.com",
  "hmac-sha2-256",
  "hmac-sha2-512",
];

/** TLS 1.2 cipher suites by their names in the file, with those of OpenSSL (CFG-27). */
export const cipherSuites: Readonly<Record<string, string>> = {
  "tls-ecdhe-rsa-with-chacha20-poly1305": "ECDHE-RSA-CHACHA20-POLY1305",
  "tls-ecdhe-ecdsa-with-chacha20-poly1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
  "tls-ecdhe-rsa-with-aes-128-gcm-sha256": "ECDHE-RSA-AES128-GCM-SHA256",
  "tls-ecdhe-ecdsa-with-aes-128-gcm-sha256": "ECDHE-ECDSA-AES128-GCM-SHA256",
  "tls-ecdhe-rsa-with-aes-256-gcm-sha384": "ECDHE-RSA-AES256-GCM-SHA384",
  "tls-ecdhe-ecdsa-with-aes-256-gcm-sha384": "ECDHE-ECDSA-AES256-GCM-SHA384",
  "tls-rsa-with-aes-128-gcm-sha256": "AES128-GCM-SHA256",
  "tls-rsa-with-aes-256-gcm-sha384": "AES256-GCM-SHA384",
};
