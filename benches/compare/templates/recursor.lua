rpzFile("@DIR@/rpz.zone", { policyName = "rpz" })
